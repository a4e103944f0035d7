"""From the file and the environment to ``Settings``, or to every fault at once."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from marshmallow import ValidationError

from app.config.assembly import assemble
from app.config.dotenv import FILE_NAME as DOTENV
from app.config.dotenv import read_dotenv
from app.config.env_block import KEY as ENV
from app.config.env_block import variables_of
from app.config.environment import Environment, supplemented
from app.config.faults import ConfigError, Fault, Report
from app.config.include import Composition
from app.config.keys import keep_known
from app.config.left_out import left_out
from app.config.migrations import migrated
from app.config.models import without_aliases
from app.config.reading import FilesRead, Unreadable
from app.config.references import References
from app.config.restricting import refuse_unheld
from app.config.rules import check_rules
from app.config.schemas import CONFIG
from app.config.secrecy import literal_secrets, looks_secret
from app.config.secret_files import SecretFiles
from app.config.settings import Agent, Settings, backup_of
from app.config.syntax import MAX_CHARACTERS, check_length
from app.config.unsupported import unsupported

# Keys with a reader of their own. Of ``secrets`` only what a reference needs is looked at.
_NOT_OURS = (ENV, "secrets")
# Enough to count the characters of a text that is too long by far; a device would never end.
_MAX_BYTES = 16 * MAX_CHARACTERS
# Keys that one warning names.
MAX_NAMED = 200
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def load(environment: Environment) -> Settings:
    """Read, check and freeze the configuration. Without a file the defaults and the environment are all.

    Raises ConfigError with every fault of the files and the environment.
    """
    return load_and_report(environment)[0]


def load_and_report(environment: Environment) -> tuple[Settings, Report]:
    """The same, with what becomes of each key."""
    files = FilesRead()
    path = environment.config_path
    files.note(path)
    try:
        return _checked(read_text(environment), str(path), environment, files)
    except ConfigError as error:
        raise ConfigError(*error.faults, files=files.states) from None


def check(text: str, environment: Environment) -> Settings:
    """What ``load`` would make of a file with this text. Raises ConfigError with every fault."""
    return _checked(text, environment.config_path.name, environment, FilesRead())[0]


def _checked(text: str | None, name: str, environment: Environment, files: FilesRead) -> tuple[Settings, Report]:
    """name: the text's in faults."""
    dotenv = read_dotenv(environment.state_dir / DOTENV, files)
    environment = supplemented(environment, dotenv.variables)
    outside = (*environment.faults, *dotenv.faults)
    if text is None and not (environment.token or environment.password or outside):
        remedy = "not found; run `.venv/bin/python -m app onboard` to write one, or set OPENCLAW_GATEWAY_TOKEN"
        raise ConfigError(Fault(name, remedy))
    try:
        whole = _composed("{}" if text is None else text, name, environment, files)
    except ConfigError as error:
        raise ConfigError(*error.faults, *outside) from None
    report = Report(whole.document, whole.located)
    report.document = document = migrated(whole.document, report)
    report.faults.update((fault.where, fault) for fault in whole.faults)
    variables = variables_of(document, environment, report)
    environment = supplemented(environment, variables)
    report.faults.update((fault.where, fault) for fault in (*environment.faults, *dotenv.faults))
    refuse_unheld(document, report)
    known = keep_known({key: value for key, value in document.items() if key not in _NOT_OURS}, CONFIG, report)
    secrets = SecretFiles(environment.state_dir, files)
    references = References(environment, secrets, report)
    resolved = references.resolve(without_aliases(known))
    for file in references.files():
        files.note(file)
    data: dict[str, Any]
    try:
        data = CONFIG.load(resolved)
    except ValidationError as error:
        report.refuse(error.messages)
        data = error.valid_data if isinstance(error.valid_data, dict) else {}
    for path in left_out(resolved):
        report.leave_out(path)
    check_rules(data, environment, report)
    if report.faults:
        raise ConfigError(*report.faults.values())
    holding = {whole.file_of(report.written(path)) for path in literal_secrets(known | {ENV: document.get(ENV, {})})}
    if any(looks_secret(name) and value for name, value in dotenv.variables.items()):
        holding.add(environment.state_dir / DOTENV)
    settings = assemble(data, environment, report)
    settings = replace(
        settings,
        agents=_guarded(settings, files),
        env_secrets=_secrets(dotenv.variables, variables),
        files=MappingProxyType(files.states),
        warnings=(*_warnings(environment, text is not None, holding, report), *unsupported(resolved, report)),
    )
    return settings, report


def _composed(text: str, name: str, environment: Environment, files: FilesRead) -> Composition:
    check_length(text, name)
    if lone := _LONE_SURROGATE.search(text):
        raise ConfigError(Fault(name, f"found half a character at {lone.start()}; allowed: Unicode text"))
    return Composition(text, environment.config_path, name, files)


def _secrets(*given: Mapping[str, str]) -> tuple[str, ...]:
    """The values whose names look secret, those included that others win over: somebody has them in use."""
    found = {value.strip() for variables in given for name, value in variables.items() if looks_secret(name)}
    return tuple(sorted(found - {""}))


def _guarded(settings: Settings, files: FilesRead) -> Mapping[str, Agent]:
    """The agents, to whose tools every file that the configuration was made of is as shut as the file itself."""
    read = [path for path in files.states if path != settings.path]
    more = [*read, *(backup_of(Path(os.path.realpath(path))) for path in read)]
    return MappingProxyType(
        {id: replace(agent, private=(*agent.private, *more)) for id, agent in settings.agents.items()}
    )


def read_text(environment: Environment) -> str | None:
    """The file's text, ``None`` when there is no file. Raises ConfigError when it can't be read or is no UTF-8."""
    path = environment.config_path
    try:
        return FilesRead().read(path, _MAX_BYTES).decode("utf-8")
    except Unreadable as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise ConfigError(Fault(str(path), str(error))) from None
    except UnicodeDecodeError as error:
        raise ConfigError(Fault(str(path), f"not UTF-8 text at byte {error.start}")) from None


def _warnings(environment: Environment, exists: bool, holding: set[Path], report: Report) -> Iterator[str]:
    """holding: files that secrets are written out in."""
    path, state_dir = environment.config_path, environment.state_dir
    if not exists:
        yield f"{path} doesn't exist: the defaults apply"
    parts = []
    if report.ignored:
        parts.append(f"ignored {_some(report.ignored)}")
    if report.replaced:
        parts.append(f"replaced {_some(report.replaced)}")
    if report.moved:
        parts.append(_some(list(map(str, report.moved))))
    if report.unusable:
        parts.append(f"can't be asked: {_some(report.unusable)}")
    if report.narrowed:  # sentences, with commas in them
        parts.append(f"narrower than it says: {_some([*report.narrowed], '; ')}")
    if report.left_out:
        parts.append(f"left out {_some(report.left_out)}")
    if parts:
        yield f"{path} has OpenClaw settings that don't count as they are written: {'; '.join(parts)}"
    for file in sorted(holding):
        if _open_to_others(file, stat.S_IRGRP | stat.S_IROTH):
            yield f"{file} holds a secret and other users can read it: chmod 600 {shlex.quote(str(file))}"
    if _open_to_others(state_dir, stat.S_IRWXG | stat.S_IRWXO):
        yield f"{state_dir} is open to other users: chmod 700 {shlex.quote(str(state_dir))}"


def _some(names: Sequence[str], between: str = ", ") -> str:
    """A file of a thousand agents has the same keys a thousand times."""
    more = len(names) - MAX_NAMED
    return between.join(names[:MAX_NAMED]) + (f" and {more} more (see `config validate --explain`)" if more > 0 else "")


def _open_to_others(path: Path, rights: int) -> bool:
    try:
        return bool(os.stat(path).st_mode & rights)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False
