"""From the file and the environment to ``Settings``, or to every fault at once."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyjson5
from marshmallow import ValidationError

from app.config.assembly import assemble
from app.config.environment import Environment
from app.config.faults import ConfigError, Fault, Report
from app.config.keys import keep_known
from app.config.references import References
from app.config.rules import check_rules
from app.config.schemas import CONFIG
from app.config.secrecy import has_literal_secret
from app.config.settings import Settings
from app.config.unsupported import unsupported

_POSITION = re.compile(r"\s*(?:starting )?near (\d+)")
_CODE_POINT = re.compile(r"U\+([0-9a-fA-F]{4,6})")


def load(environment: Environment) -> Settings:
    """Read, check and freeze the configuration. Without a file the defaults and the environment are all.

    Raises ConfigError with every fault of the file and the environment.
    """
    path = environment.config_path
    text = _read(path)
    if text is None and not (environment.token or environment.password or environment.faults):
        remedy = "not found; run `.venv/bin/python -m app onboard` to write one, or set OPENCLAW_GATEWAY_TOKEN"
        raise ConfigError(Fault(str(path), remedy))
    document = {} if text is None else _parse(path, text, environment)
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
    check_rules(data, environment, report)
    if report.faults:
        raise ConfigError(*report.faults.values())
    warnings = _warnings(environment, text is not None, known, report)
    return assemble(data, environment, (*warnings, *unsupported(resolved)))


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(Fault(str(path), f"can't be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        raise ConfigError(Fault(str(path), f"not UTF-8 text at byte {error.start}")) from None


def _parse(path: Path, text: str, environment: Environment) -> dict[str, Any]:
    try:
        document = pyjson5.decode(text)
    except pyjson5.Json5DecoderException as error:
        raise ConfigError(_syntax_fault(path, text, str(error.message)), *environment.faults) from None
    if not isinstance(document, dict):
        raise ConfigError(Fault(str(path), "found no object; allowed: one JSON5 object"), *environment.faults)
    return document


def _syntax_fault(path: Path, text: str, message: str) -> Fault:
    """``file:line:column: what``, where the parser says ``Expected b'comma' or U+007d near 12, found U+0062``."""
    where = _POSITION.search(message)
    before = text[: max(int(where[1]) - 1, 0)] if where else ""
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    plain = _POSITION.sub("", message).replace("b'", "").replace("'", "").replace("JSON5Value", "a value")
    plain = _CODE_POINT.sub(lambda match: repr(chr(int(match[1], 16))), plain)
    return Fault(f"{path}:{line}:{column}", plain[:1].lower() + plain[1:])


def _warnings(environment: Environment, exists: bool, known: dict[str, Any], report: Report) -> Iterator[str]:
    path, state_dir = environment.config_path, environment.state_dir
    if not exists:
        yield f"{path} doesn't exist: the defaults apply"
    parts = []
    if report.ignored:
        parts.append(f"ignored {', '.join(report.ignored)}")
    if report.replaced:
        parts.append(f"replaced {', '.join(report.replaced)}")
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
