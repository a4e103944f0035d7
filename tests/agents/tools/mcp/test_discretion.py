from __future__ import annotations

from types import MappingProxyType

import pytest

from app.agents.tools.mcp.discretion import Discretion
from app.config.secret_forms import secret_arguments
from app.config.settings import McpServer

SECRET = "tr0ub4dor-and-3"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--api-key", SECRET),
        ("-token", SECRET, "--verbose"),
        (f"--access-token={SECRET}",),
        ("run", "-e", f"API_KEY={SECRET}", "image"),
        ("--header", f"Authorization: {SECRET}"),
        (f"--header=X-Api-Key:{SECRET}",),
        (f"https://example.com/mcp?token={SECRET}",),
        ("--auth", SECRET),
        ("--pass", SECRET),
        ("--db-pwd", SECRET),
        ("--github-pat", SECRET),
        ("--credential", SECRET),
        ("-u", f"user:{SECRET}"),
        (f"--user=user:{SECRET}",),
        (f"-uuser:{SECRET}",),
    ],
)
def test_a_secret_among_the_arguments(arguments: tuple[str, ...]) -> None:
    """What follows a name that looks secret is one, as programs are commonly told them."""
    assert [arguments[each.argument][slice(*each.place)] for each in secret_arguments(arguments)] == [SECRET]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-y", "@modelcontextprotocol/server-filesystem", "/srv/docs"),
        ("/srv/keys/server.js", "/srv/docs"),
        ("--token", "--verbose", "x"),
        ("--author", "somebody", "--path", "/srv/docs", "--passthrough", "x"),
        ("--user", "somebody", "-u", "https://example.com/"),
        ("--port=8080", "https://example.com:8080/mcp"),
    ],
)
def test_other_arguments_are_none(arguments: tuple[str, ...]) -> None:
    """Folders, packages and addresses stay readable in the log."""
    assert list(secret_arguments(arguments)) == []


def test_text_without_the_secrets() -> None:
    """The log shows no configured value at all, the model none that is a secret by its name."""
    discretion = Discretion(
        McpServer(
            "x",
            args=("--api-key", "of-arguments"),
            env=MappingProxyType({"API_TOKEN": "of-environment", "FOLDER": "/srv/docs"}),
            headers=MappingProxyType({"Authorization": "Bearer of-headers"}),
        )
    )
    text = "of-arguments of-environment of-headers /srv/docs /srv/other"
    assert discretion.told(text) == "*** *** *** *** /srv/other"
    assert discretion.answered(text) == "*** *** *** /srv/docs /srv/other"
