"""What is secret by how it looks is hidden alike in the file, in what is told of an MCP server, and in the log."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.tools.mcp.discretion import Discretion
from app.config import REDACTED, redacted, redacted_parsed, restored
from app.config.faults import shown
from app.config.secret_forms import secret_arguments, secret_places
from app.config.settings import McpServer
from app.ops.redaction import Redaction, secrets_of
from tests.agents.scene import settings

SECRET = "tr0ub4dor-and-3"
# Looks like one wherever it stands.
ISSUED = "sk-proj-0a1B2c3D4e5F6g7H"
RANDOM = "OGQ4NmUyZTYtM2I1Zi00"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----MIIabc-----END RSA PRIVATE KEY-----"

# The arguments of a command, and what is secret in them.
ARGUMENTS: list[tuple[list[str], str]] = [
    (["--api-key", SECRET], SECRET),
    ([f"--api-key={SECRET}"], SECRET),
    (["--apiKey", SECRET, "-y"], SECRET),
    (["run", "-e", f"API_KEY={SECRET}", "image"], SECRET),
    (["run", "-e", f"PIN={SECRET}", "image"], SECRET),
    (["run", f"--env=PIN={SECRET}", "image"], SECRET),
    (["run", f"-ePIN={SECRET}", "image"], SECRET),
    (["run", "--env", f"PIN={SECRET}", "image"], SECRET),
    (["--header", f"Authorization: Bearer {SECRET}"], SECRET),
    (["--header", f"X-Any: {SECRET}"], SECRET),
    (["-H", f"X-Any: {SECRET}"], SECRET),
    ([f"--header=X-Any: {SECRET}"], SECRET),
    ([f"Authorization:Basic {SECRET}"], SECRET),
    ([ISSUED], ISSUED),
    (["serve", "--with", ISSUED], ISSUED),
    (["ghp_0123456789abcdefABCDEF0123456789abcd"], "ghp_0123456789abcdefABCDEF0123456789abcd"),
    (
        ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"],
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ),
    (["AKIAIOSFODNN7EXAMPLE"], "AKIAIOSFODNN7EXAMPLE"),
    ([f"https://mcp.example/s/{RANDOM}/sse"], RANDOM),
    (["https://mcp.example/6f9619ff-8b86-d011-b42d-00c04fc964ff"], "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
    ([f"https://u:{SECRET}@mcp.example/sse"], SECRET),
    ([f"https://{SECRET}@mcp.example/sse"], SECRET),
    ([f"https://mcp.example/sse?a=1&token={SECRET}"], SECRET),
    ([f"https://mcp.example/sse?a={RANDOM}"], RANDOM),
    ([f"https://mcp.example/sse#access_token={SECRET}"], SECRET),
    (["--dsn", f"postgresql://u:{SECRET}/2@h/d"], f"{SECRET}/2"),
    ([PEM], PEM),
]
IDS = ["-".join(args)[:40].replace("\n", "") for args, _ in ARGUMENTS]


@pytest.mark.parametrize(("arguments", "secret"), ARGUMENTS, ids=IDS)
def test_arguments_are_hidden_everywhere(arguments: list[str], secret: str) -> None:
    """In the file as operators see it, from which it comes back whole; in the server's own words; in the log."""
    text = json.dumps({"mcp": {"servers": {"s": {"command": "npx", "args": arguments}}}})
    seen = redacted(text)
    assert secret not in json.dumps(json.loads(seen))
    assert redacted(seen) == seen
    assert restored(seen, text) == text
    server = McpServer("s", args=tuple(arguments))
    said = f"cannot use {secret}, giving up"
    assert secret not in Discretion(server).told(said)
    log = Redaction(secrets_of(replace(settings(), mcp_servers={"s": server})))
    if any(each.named for each in secret_arguments(arguments)):
        assert secret not in log(said)
        assert secret not in Discretion(server).answered(said)
        if len(arguments) == 1:
            assert secret not in Redaction()(arguments[0])
            assert secret not in shown(arguments[0])


@pytest.mark.parametrize("where", ["command", "url", "cwd"])
@pytest.mark.parametrize("text", [args[0] for args, _ in ARGUMENTS if len(args) == 1 and "-e" not in args[0][:2]])
def test_other_values_of_a_server_follow_the_same_table(where: str, text: str) -> None:
    """Wherever in the file somebody wrote it."""
    if "PIN" not in text and "X-Any" not in text:  # secret by being an argument
        assert redacted_parsed({"mcp": {"servers": {"s": {where: text}}}})["mcp"]["servers"]["s"][where] == REDACTED


@pytest.mark.parametrize("secret", [ISSUED, "https://u:hunter2@h/x", f"https://h/{RANDOM}/sse", f"Bearer {SECRET}"])
def test_a_bare_secret_in_a_comment_is_hidden(secret: str) -> None:
    """No name needs to stand before it, and it comes back with its comment."""
    text = f"{{a: 1 /* was {secret} */}} // or {secret}, perhaps"
    seen = redacted(text)
    for part in (ISSUED, "hunter2", RANDOM, SECRET):
        assert part not in seen
    assert restored(seen, text) == text


@pytest.mark.parametrize(
    "arguments",
    [
        ["-y", "@modelcontextprotocol/server-filesystem", "/srv/docs"],
        ["/srv/keys/server.js", "/srv/docs"],
        ["--token", "--verbose", "x"],
        ["--port=8080", "https://example.com:8080/mcp"],
        ["run", "-i", "--rm", "-e", "API_KEY", "mcp/fetch"],
        ["--api-key", "${API_KEY}", "--header", "Authorization: ${AUTH}", "-e", "TOKEN=${TOKEN}", "--token=${TOKEN}"],
        ["https://mcp.example/v1/chat-completions/model-context-protocol?page=1", "https://h/@scope/generateContent"],
        ["https://api.githubcopilot.com/mcp/x/repositories/readonly", "server-sequential-thinking-2024-11-25"],
        ["basic authentication", "the secret of life", "sqlite:////var/lib/x/0123456789abcdef0123.db"],
    ],
    ids=lambda args: args[0][:30],
)
def test_what_is_none_stays_readable(arguments: list[str]) -> None:
    """Packages, folders, addresses, and references to a secret."""
    text = json.dumps({"mcp": {"servers": {"s": {"command": "npx", "args": arguments}}}})
    assert redacted(text) == text


TOKENS = st.from_regex(r"[A-Za-z0-9]{3}[0-9][A-Za-z][A-Za-z0-9_-]{12,40}[A-Za-z0-9]", fullmatch=True)
FORMS = st.sampled_from(
    [
        "--token={}", "--api-key={}", "Authorization: Bearer {}", "X-Api-Key: {}", "password={}", "sk-{}", "ghp_{}",
        "xoxb-{}", "https://u:{}@h/", "https://h/?key={}", "wss://h/p?x=1&auth={}", "DB_PASSWORD={}",
        "clientSecret: {}",
    ]
)  # fmt: skip


@given(FORMS, TOKENS, st.text(max_size=20), st.text(max_size=20))
def test_any_secret_in_any_form(form: str, token: str, before: str, after: str) -> None:
    """Whatever stands around it, none of it is left in the file, in an argument or in a line of the log."""
    text = f"{before} {form.format(token)} {after}"
    if token in before + after:
        return
    assert token not in Redaction()(text)
    document = {"mcp": {"servers": {"s": {"args": ["-y", text], "command": text}}}}
    assert token not in str(redacted_parsed(document))
    assert redacted_parsed(redacted_parsed(document)) == redacted_parsed(document)


@given(st.lists(st.text(), max_size=6))
def test_places_are_within_what_was_given(arguments: list[str]) -> None:
    """In order and apart, whatever the arguments are."""
    for argument in arguments:
        places = secret_places(argument)
        assert all(0 <= begin < end <= len(argument) for begin, end in places)
        assert all(one[1] <= other[0] for one, other in pairwise(places))
    for each in secret_arguments(arguments):
        assert 0 <= each.place[0] < each.place[1] <= len(arguments[each.argument])
