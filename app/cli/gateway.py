"""``python -m app gateway``: serve."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("gunicorn_options", nargs=-1, type=click.UNPROCESSED)
def gateway(gunicorn_options: tuple[str, ...]) -> None:
    """Serve, as `gunicorn wsgi:app` does. Options are gunicorn's, such as --bind 127.0.0.1:8080."""
    os.chdir(ROOT)
    # In place of this process: signals and exit codes are gunicorn's own.
    os.execv(  # noqa: S606
        sys.executable, [sys.executable, "-m", "gunicorn", *gunicorn_options, "wsgi:app"]
    )
