from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.config import REDACTED, redacted
from tests.config.conftest import TOKEN, Place

Refused = Callable[..., str]


def token(value: Any) -> dict[str, Any]:
    return {"gateway": {"auth": {"token": value}}}


@pytest.mark.parametrize("value", ["${NAME}", {"source": "env", "id": "NAME"}])
def test_a_secret_from_the_environment(place: Place, value: Any) -> None:
    """Both ways to name a variable give its value."""
    assert place.load(token(value), NAME=TOKEN).gateway.auth.token == TOKEN


def test_a_secret_from_a_file(place: Place) -> None:
    """A file is read from the state dir, without the line's end."""
    (place.state_dir / "token.txt").write_text(f"{TOKEN}\n")
    assert place.load(token({"source": "file", "id": "token.txt"}), NONE="").gateway.auth.token == TOKEN


def test_text_around_a_variable(place: Place) -> None:
    """Variables are filled into any text, and $${NAME} stands for itself."""
    document = {"agents": {"defaults": {"systemPrompt": "${A} and ${B}, not $${A}"}}}
    settings = place.load(document, A="1", B="2", OPENCLAW_GATEWAY_TOKEN=TOKEN)
    assert settings.agents["main"].system_prompt == "1 and 2, not ${A}"


@pytest.mark.parametrize("value", ["Bearer ${KEY}", {"source": "env", "id": "KEY"}])
def test_a_missing_variable_is_named(refused: Refused, value: Any) -> None:
    """The fault names the key and the variable."""
    provider = {"baseUrl": "http://x", "headers": {"Authorization": value}}
    line = refused({"models": {"providers": {"x": provider}}})
    assert line.startswith("models.providers.x.headers.Authorization: ")
    assert "environment variable KEY" in line


def test_a_missing_file_is_named(place: Place, refused: Refused) -> None:
    """The fault names the key and the file."""
    line = refused(token({"source": "file", "id": "gone"}), NONE="")
    assert line.startswith("gateway.auth.token: ")
    assert str(place.state_dir / "gone") in line


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"x" * 70_000, b"two\nlines"])
def test_unusable_secret_files(place: Place, refused: Refused, content: bytes) -> None:
    """A file that holds no secret is one fault."""
    Path(place.state_dir / "token.txt").write_bytes(content)
    assert refused(token({"source": "file", "id": "token.txt"}), NONE="").startswith("gateway.auth.token: ")


@pytest.mark.parametrize("value", [{"source": "exec", "id": "x"}, {"source": "env"}, {"source": "env", "id": 5}, {}])
def test_other_references_are_refused(refused: Refused, value: Any) -> None:
    """What is no reference that this gateway follows is a fault."""
    assert refused(token(value), NONE="").startswith("gateway.auth.token: ")


def test_a_reference_is_not_shown_resolved(refused: Refused) -> None:
    """A fault quotes the file, not what a variable holds."""
    line = refused({"gateway": {"bind": "${NAME}"}}, NAME=TOKEN, OPENCLAW_GATEWAY_TOKEN="t")
    assert '"${NAME}"' in line
    assert TOKEN not in line


def test_foreign_keys_resolve_nothing(place: Place) -> None:
    """A variable that only OpenClaw needs may be missing."""
    assert place.load({"channels": {"telegram": {"botToken": "${MISSING}"}}})


@pytest.mark.parametrize("text", ["Write JavaScript: `hello ${name}`", "${Name}", "${1}", "${a_B}", "${}", "$${name}"])
def test_other_dollars_are_text(place: Place, text: str) -> None:
    """Only capitals name a variable, as they do for OpenClaw."""
    settings = place.load({"agents": {"defaults": {"systemPrompt": text}}}, OPENCLAW_GATEWAY_TOKEN=TOKEN, name="no")
    assert settings.agents["main"].system_prompt == text


def test_a_secret_in_small_letters_is_a_secret(place: Place) -> None:
    """What is no reference is written out: it is redacted, and told where others can read it."""
    place.write({"gateway": {"auth": {"token": "${token}"}}})
    place.file.chmod(0o644)
    assert REDACTED in redacted(place.file.read_text())
    (warning,) = place.load_written(NONE="").warnings
    assert "chmod 600" in warning


def limited(allowlist: Any) -> dict[str, Any]:
    reference = {"source": "env", "provider": "few", "id": "KEY"}
    return {**token(reference), "secrets": {"providers": {"few": {"source": "env", "allowlist": allowlist}}}}


def test_a_provider_may_allow_few_variables(place: Place, refused: Refused) -> None:
    """Of a provider with an allowlist no other variable is to be had."""
    assert place.load(limited(["OTHER", "KEY"]), KEY="a-key").gateway.auth.token == "a-key"
    line = refused(limited(["OTHER"]), KEY="a-key")
    assert line == (
        "gateway.auth.token: found the variable KEY; allowed: a variable that secrets.providers.few.allowlist names"
    )
    assert refused(limited("KEY"), KEY="a-key").startswith("secrets.providers.few.allowlist: ")
