"""The gateway's own files: where they should be, and nobody else's to read."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from app.cli.doctor.finding import FAIL, OK, WARN, Finding, Installation
from app.config.settings import own_files

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def state_folder(installation: Installation) -> Iterator[Finding]:
    """It exists, is writable, and nobody else can look into it."""
    folder = installation.environment.state_dir
    quoted = shlex.quote(str(folder))
    try:
        status = folder.stat()
    except FileNotFoundError:
        remedy = "run `.venv/bin/python -m app onboard`, which makes it"
        yield Finding("state folder", FAIL, f"{folder} does not exist: {remedy}")
        return
    except OSError as error:
        yield Finding("state folder", FAIL, f"{folder} can't be reached: {error.strerror}")
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Finding("state folder", FAIL, f"{folder} is not a folder: set OPENCLAW_STATE_DIR to one")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("state folder", FAIL, f"{folder} can't be written by this user: chown it, or run as its owner")
    elif status.st_mode & OTHERS:
        yield Finding("state folder", FAIL, f"{folder} is open to other users: chmod 700 {quoted}")
    else:
        yield Finding("state folder", OK, f"{folder} is private")


def files(installation: Installation) -> Iterator[Finding]:
    """Configuration, database and logs are their owner's alone, and this user's."""
    settings = installation.settings
    if settings is None:
        paths: tuple[Path, ...] = (installation.environment.config_path,)
    else:
        paths = (*own_files(settings.path, settings.storage_url), *_logs(settings.state_dir))
    seen = [path for path in paths if os.path.exists(path)]  # False, too, where it can't be reached
    well = True
    for path in seen:
        if path.stat().st_mode & OTHERS:
            well = False
            # Behind a folder that is shut nobody reaches it, until somebody opens that.
            status = FAIL if path.parent.stat().st_mode & OTHERS else WARN
            yield Finding("files", status, f"{path} is open to other users: chmod 600 {shlex.quote(str(path))}")
        elif not os.access(path, os.R_OK | os.W_OK):
            well = False
            yield Finding("files", FAIL, f"{path} can't be written by this user: chown it, or run as its owner")
    if seen and well:
        yield Finding("files", OK, f"{', '.join(path.name for path in seen)}: private")


def _logs(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".log")
    except OSError:
        # What is wrong with the folder is a finding of its own.
        return []
