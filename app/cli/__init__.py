"""The command line: set the gateway up, check it, start it, and talk to it and its agents."""

from __future__ import annotations

from importlib import import_module

import click

# Where each command is. Loaded when it is asked for: most of them need little of what the others do.
_COMMANDS = {
    "agent": "agent",
    "agents": "catalogue",
    "chat": "chat",
    "config": "config",
    "doctor": "doctor",
    "gateway": "gateway",
    "health": "health",
    "logs": "logs",
    "models": "catalogue",
    "onboard": "onboard",
    "sessions": "sessions",
    "status": "health",
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"app.cli.{_COMMANDS[cmd_name]}"), cmd_name)
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A Gateway that serves AI agents over the OpenAI Chat Completions API.

    Exit codes of all commands: 0 done, 1 failed, 2 asked wrongly, 3 no gateway there.
    """
