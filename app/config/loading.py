"""From the file and the environment to ``Settings``, or to every fault at once."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from app.config.assembly import assemble
from app.config.environment import Environment
from app.config.faults import ConfigError, Fault, Report, dotted, shown
from app.config.keys import keep_known
from app.config.left_out import left_out
from app.config.references import References
from app.config.rules import check_rules
from app.config.schemas import CONFIG
from app.config.secrecy import has_literal_secret
from app.config.settings import Settings
from app.config.syntax import check_length, parse
from app.config.unsupported import unsupported

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def load(environment: Environment) -> Settings:
    """Read, check and freeze the configuration. Without a file the defaults and the environment are all.

    Raises ConfigError with every fault of the file and the environment.
    """
    path = environment.config_path
    text = read_text(environment)
    if text is None and not (environment.token or environment.password or environment.faults):
        remedy = "not found; run `.venv/bin/python -m app onboard` to write one, or set OPENCLAW_GATEWAY_TOKEN"
        raise ConfigError(Fault(str(path), remedy))
    return _checked(text, str(path), environment)


def check(text: str, environment: Environment) -> Settings:
    """What ``load`` would make of a file with this text. Raises ConfigError with every fault."""
    name = environment.config_path.name
    check_length(text, name)
    if lone := _LONE_SURROGATE.search(text):
        raise ConfigError(Fault(name, f"found half a character at {lone.start()}; allowed: Unicode text"))
    return _checked(text, name, environment)


def _checked(text: str | None, name: str, environment: Environment) -> Settings:
    try:
        document = {} if text is None else parse(text, name)
    except ConfigError as error:
        raise ConfigError(*error.faults, *environment.faults) from None
    report = Report(document)
    report.faults.update((fault.where, fault) for fault in environment.faults)
    known = keep_known(document, CONFIG, report)
    resolved = References(environment, report).resolve(known)
    data: dict[str, Any]
    try:
        data = CONFIG.load(resolved)
    except ValidationError as error:
        report.refuse(error.messages)
        data = error.valid_data if isinstance(error.valid_data, dict) else {}
    report.left_out += [f"{dotted(path)} {shown(report.at(path))}" for path in left_out(resolved)]
    check_rules(data, environment, report)
    if report.faults:
        raise ConfigError(*report.faults.values())
    warnings = _warnings(environment, text is not None, known, report)
    return assemble(data, environment, (*warnings, *unsupported(resolved)))


def read_text(environment: Environment) -> str | None:
    """The file's text, ``None`` when there is no file. Raises ConfigError when it can't be read or is no UTF-8."""
    path = environment.config_path
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(Fault(str(path), f"can't be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        raise ConfigError(Fault(str(path), f"not UTF-8 text at byte {error.start}")) from None


def _warnings(environment: Environment, exists: bool, known: dict[str, Any], report: Report) -> Iterator[str]:
    path, state_dir = environment.config_path, environment.state_dir
    if not exists:
        yield f"{path} doesn't exist: the defaults apply"
    parts = []
    if report.ignored:
        parts.append(f"ignored {', '.join(report.ignored)}")
    if report.replaced:
        parts.append(f"replaced {', '.join(report.replaced)}")
    if report.left_out:
        parts.append(f"left out {', '.join(report.left_out)}")
    if parts:
        yield f"{path} has OpenClaw settings that this gateway doesn't use: {'; '.join(parts)}"
    if exists and has_literal_secret(known) and _open_to_others(path, stat.S_IRGRP | stat.S_IROTH):
        yield f"{path} holds a secret and other users can read it: chmod 600 {shlex.quote(str(path))}"
    if _open_to_others(state_dir, stat.S_IRWXG | stat.S_IRWXO):
        yield f"{state_dir} is open to other users: chmod 700 {shlex.quote(str(state_dir))}"


def _open_to_others(path: Path, rights: int) -> bool:
    try:
        return bool(os.stat(path).st_mode & rights)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False
