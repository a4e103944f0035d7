import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from app.cli import main
from app.cli.screen import age, duration, plain, size
from tests.live.gateway import ROOT


def commands() -> list[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    context = click.Context(main)
    found = []
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", each) for inner, each in command.commands.items()]
        else:
            found.append((name, command))
    return found


def test_help_names_every_command() -> None:
    """With what it does, and the exit codes that all have in common."""
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name in main.list_commands(click.Context(main)):
        assert f"\n  {name} " in result.stdout
    assert "3 no gateway" in " ".join(result.stdout.split())


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_each_command_says_what_it_does(name: str) -> None:
    """In its help, without anything of the machine being looked at."""
    result = CliRunner().invoke(main, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, command in commands()
        if any(option.name == "address" or "--url" in option.opts for option in command.params)
    ],
)
def test_commands_that_reach_a_gateway_have_examples(name: str) -> None:
    """And say where its address and its secret come from."""
    help = CliRunner().invoke(main, [*name.split(), "--help"]).stdout
    assert f"python -m app {name}" in help or name == "config path"
    assert "--token" in help


def test_an_unknown_command_is_exit_code_2() -> None:
    """As every wrong argument."""
    assert CliRunner().invoke(main, ["nope"]).exit_code == 2


def test_a_command_loads_no_more_than_it_needs() -> None:
    """A client of the gateway starts without the web framework and the database."""
    code = (
        "import sys; from app.cli import main; main(['health', '--url', 'ws://127.0.0.1:1', '--token', 'x'],"
        " standalone_mode=False)"
    )
    script = f"try:\n import click\n {code}\nexcept click.ClickException: print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "app.cli.client" in out
    for heavy in ("flask", "sqlalchemy", "gevent", "app.services"):
        assert f"'{heavy}'" not in out


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[31mred\x07\r", "[31mred"),
        ("\u202eturned\u2066", "turned"),
        ("\x9b31m", "31m"),
        ("Ünï — 文", "Ünï — 文"),
        (7, "7"),
    ],
)
def test_text_does_not_rule_the_terminal(given: object, seen: str) -> None:
    """What isn't seen is left out; what is seen stays."""
    assert plain(given) == seen


def test_times_and_sizes_are_short() -> None:
    """In the largest unit that fits."""
    assert [duration(each) for each in (0.4, 59, 60, 7200, 90_000)] == ["0 s", "59 s", "1 min", "2 h", "1 d"]
    assert [size(each) for each in (0, 1023, 1536, 52_428_800, 5e12)] == ["0 B", "1023 B", "1.5 KB", "50 MB", "4657 GB"]
    assert age(None) is None
    assert age(0).endswith(" d ago")  # type: ignore[union-attr]
