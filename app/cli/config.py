"""``python -m app config``: the configuration, looked at and changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click
import pyjson5

from app.agents.tools.policy_names import name_warnings
from app.cli.address import Address, gateway_options
from app.cli.config_document import Document, FileDocument, GatewayDocument, document_of
from app.cli.screen import plain, print_json
from app.config import (
    EMPTY,
    ConfigError,
    Environment,
    Line,
    Settings,
    StaleConfig,
    explained,
    load,
    parse_path,
    read_environment,
    redacted,
    refusals,
    with_names_once,
    with_todays_keys,
    with_value,
    without,
)
from app.config.faults import ABSENT, KeyPath, value_at
from app.config.settings import backup_of
from app.config.syntax import parse


@click.group()
def config() -> None:
    """Look at the configuration, and change it.

    Without --url it is this machine's file, whether a gateway runs or not; with --url it is that of the gateway there.
    PATH is a key's path, such as gateway.port or agents.list[0].model.
    """


@config.command(
    epilog="Examples:\n\n  python -m app config get\n\n  python -m app config get agents.list[0].model --json\n\n"
    "  python -m app config get --url wss://gateway.example --token SECRET"
)
@click.argument("path", required=False)
@click.option("--show-secrets", is_flag=True, help="Print secrets that are written out, too.")
@gateway_options
def get(path: str | None, show_secrets: bool, address: Address, as_json: bool) -> None:
    """Print what stands at PATH, or the whole configuration.

    Exit code 1 when nothing stands there.
    """
    where = _key(path) if path is not None else None
    if show_secrets and address.url:
        raise click.UsageError("a gateway gives no secrets away: leave out --show-secrets, or --url")
    document = _document(address)
    try:
        text = document.text if show_secrets else document.without_secrets()
        if text is None:
            fail(f"{document.place}: not found; `python -m app onboard` writes one")
        value = parse(text, document.place)
    except ConfigError as error:
        fail_with(error)
    if where is None and not as_json:
        click.echo(plain(text), nl=not text.endswith("\n"))
        return
    found: Any = value if where is None else value_at(value, where)
    if found is ABSENT:
        fail(f"{path}: not set in {document.place}")
    if isinstance(found, str) and not as_json:
        click.echo(plain(found))
    else:
        print_json(found)


@config.command(
    "set",
    epilog="Examples:\n\n  python -m app config set gateway.port 18790\n\n"
    "  python -m app config set agents.defaults.model anthropic/claude-sonnet-4-6\n\n"
    '  python -m app config set tools \'{profile: "coding", deny: ["web_fetch"]}\'',
)
@click.argument("path")
@click.argument("value")
@gateway_options
def set_value(path: str, value: str, address: Address, as_json: bool) -> None:
    """Put VALUE at PATH. Comments and order of the file stay.

    VALUE is JSON5, or text where it is none: '"42"' is text, 42 a number. The whole configuration is checked before it
    is written; a running gateway applies it by itself.
    """
    where = _key(path)
    try:
        given = pyjson5.decode(value)
    except pyjson5.Json5DecoderException:
        given = value

    def change(text: str) -> str:
        return with_value(with_names_once(text, where), where, given)

    _change(address, change, f"{path} is set", path, as_json)


@config.command(epilog="Example:\n\n  python -m app config unset gateway.port")
@click.argument("path")
@gateway_options
def unset(path: str, address: Address, as_json: bool) -> None:
    """Take PATH out, so that its default applies."""
    where = _key(path)
    _change(address, lambda text: without(text, where), f"{path} is taken out", path, as_json)


@config.command(
    epilog="Examples:\n\n  python -m app config validate\n\n  python -m app config validate ./openclaw.json\n\n"
    "  python -m app config validate --explain"
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--explain", is_flag=True, help="Say of each key what becomes of it, and nothing of what it holds.")
@gateway_options
def validate(path: Path | None, explain: bool, address: Address, as_json: bool) -> None:
    """Check PATH, or the file in use, and name every fault. Exit code 1 when there is one."""
    if path is not None and address.url:
        raise click.UsageError("a file of this machine is checked without --url")
    if explain and address.url:
        raise click.UsageError("a file of this machine is explained: leave out --explain, or --url")
    if address.url:
        said = GatewayDocument(address).said
        faults = [f"{each.get('path')}: {each.get('message')}" for each in said.get("issues", ())]
        _report(said["path"], faults, [_line(each) for each in said.get("warnings", ())], as_json)
        return
    environment = read_environment()
    if path is not None:
        environment = replace(environment, config_path=path)
        try:
            path.stat()
        except OSError as error:
            fail(f"{path}: {error.strerror}")
    if explain:
        _explain(environment, as_json)
        return
    try:
        settings = load(environment)
    except ConfigError as error:
        _report(str(environment.config_path), [str(fault) for fault in error.faults], [], as_json)
    else:
        _report(str(settings.path), [], [*settings.warnings, *name_warnings(settings)], as_json)


@config.command(epilog="Examples:\n\n  python -m app config migrate --dry-run\n\n  python -m app config migrate")
@click.option("--dry-run", is_flag=True, help="Print what would be written, without secrets, and write nothing.")
@gateway_options
def migrate(dry_run: bool, address: Address, as_json: bool) -> None:
    """Write this machine's file in today's keys, where it has older ones.

    Comments and order stay, and the file of before is kept beside it, in ….bak.
    """
    if address.url:
        raise click.UsageError("a file of this machine is migrated: leave out --url")
    environment = read_environment()
    with _changing(str(environment.config_path)):
        document = FileDocument(environment)
        if document.text is None:
            fail(f"{document.place}: not found; `python -m app onboard` writes one")
        new, moves = with_todays_keys(document.text, environment)
        shown = redacted(new)
        if moves and not dry_run:
            document.save(new)
    if as_json:
        told = {"path": document.place, "written": bool(moves) and not dry_run}
        told["moves"] = [{"from": move.old, "to": move.new} for move in moves]
        print_json(told | ({"text": shown} if dry_run else {}))
        return
    for move in moves:
        # Of a dry run the file alone is on stdout.
        click.echo(plain(f"{move.old} is now {move.new}"), err=dry_run)
    if not moves:
        click.echo(f"{document.place}: nothing to move, every key is one of today", err=dry_run)
    if dry_run:
        click.echo(plain(shown), nl=not shown.endswith("\n"))
    elif moves:
        kept = backup_of(Path(os.path.realpath(document.place)))
        click.echo(f"{document.place}: written; the file of before is {kept}")


@config.command("path")
@gateway_options
def print_path(address: Address, as_json: bool) -> None:
    """Print where the configuration is."""
    place = GatewayDocument(address).place if address.url else str(read_environment().config_path)
    print_json({"path": place}) if as_json else click.echo(place)


@config.command()
def secret() -> None:
    """Print the token or password that callers need, for use in scripts."""
    auth = load_or_fail(read_environment()).gateway.auth
    if auth.secret is None:
        fail(f"gateway.auth.mode {auth.mode} has no secret")
    click.echo(auth.secret)


def load_or_fail(environment: Environment) -> Settings:
    """The checked settings; faults end the command."""
    try:
        return load(environment)
    except ConfigError as error:
        fail_with(error)


def fail_with(error: ConfigError) -> NoReturn:
    """End with exit code 1 and each fault on a line of its own."""
    fail("\n".join(map(str, error.faults)))


def fail(lines: str) -> NoReturn:
    """End with exit code 1 and these lines on stderr."""
    click.echo(plain(lines), err=True)
    raise SystemExit(1)


def _key(path: str) -> KeyPath:
    try:
        return parse_path(path)
    except ConfigError as error:
        raise click.BadParameter(str(error.faults[0].what), param_hint="PATH") from None


def _document(address: Address) -> Document:
    try:
        return document_of(address)
    except ConfigError as error:
        fail_with(error)


@contextmanager
def _changing(place: str) -> Iterator[None]:
    """What keeps the configuration at this place from being changed ends the command."""
    try:
        yield
    except ConfigError as error:
        fail_with(error)
    except StaleConfig as error:
        fail(str(error))
    except OSError as error:
        fail(f"{place}: can't be written: {error.strerror or error}")


def _change(address: Address, change: Callable[[str], str], said: str, key: str, as_json: bool) -> None:
    document = _document(address)
    with _changing(document.place):
        document.save(change(EMPTY if document.text is None else document.text))
    if as_json:
        print_json({"path": document.place, "key": key})
    else:
        click.echo(f"{said} in {document.place}")


def _explain(environment: Environment, as_json: bool) -> None:
    place = str(environment.config_path)
    lines: Sequence[Line]
    valid = True
    try:
        lines = explained(environment)
    except ConfigError as error:
        lines, valid = refusals(error), False
    if as_json:
        keys = [{"path": line.where, "what": line.what.value, "said": line.said} for line in lines]
        print_json({"path": place, "valid": valid, "keys": keys})
    elif valid:
        click.echo(f"{place}: valid")
        for line in lines:
            click.echo(plain(str(line)))
    else:
        fail("\n".join(map(str, lines)))
    if not valid:
        raise SystemExit(1)


def _report(place: str, faults: Sequence[str], warnings: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json({"path": place, "valid": not faults, "faults": faults, "warnings": list(warnings)})
    elif not faults:
        click.echo(f"{place}: valid")
        for warning in warnings:
            click.echo(f"warning: {plain(warning)}")
    if faults:
        if as_json:
            raise SystemExit(1)
        fail("\n".join(faults))


def _line(warning: Any) -> str:
    return f"{warning.get('path')}: {warning.get('message')}" if isinstance(warning, dict) else str(warning)
