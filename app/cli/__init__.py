"""The command line: set the gateway up, check it, start it, and talk to an agent."""

from __future__ import annotations

import click

from app.cli.agent import agent
from app.cli.config import config
from app.cli.doctor import doctor
from app.cli.gateway import gateway
from app.cli.onboard import onboard


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A Gateway that serves AI agents over the OpenAI Chat Completions API."""


for command in (agent, config, doctor, gateway, onboard):
    main.add_command(command)
