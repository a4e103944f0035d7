"""``python -m app``: the command line."""

# Before everything else: a run in this process streams through the same greenlets as in the gateway.
from gevent import monkey

monkey.patch_all()

from app.cli import main  # noqa: E402

main(prog_name="python -m app")
