import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.config.conftest import TOKEN, Place

Refused = Callable[..., str]

HUSH = "must-not-show"


def document(reference: Any, **providers: Any) -> dict[str, Any]:
    return {"gateway": {"auth": {"token": reference}}, "secrets": {"providers": providers}}


def file_ref(id: str, provider: str = "vault") -> dict[str, str]:
    return {"source": "file", "provider": provider, "id": id}


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({"token": TOKEN}, "/token"),
        ({"a": [{}, {"b": TOKEN}]}, "/a/1/b"),
        ({"a/b": {"m~n": {"": TOKEN}}}, "/a~1b/m~0n/"),
        ({"~1": TOKEN}, "/~01"),
        ({"01": TOKEN}, "/01"),
        ({"token": f" {TOKEN}\n"}, "/token"),
    ],
)
def test_a_pointer_into_a_file(place: Place, content: Any, pointer: str) -> None:
    """RFC 6901, in a file that a provider names; an id that begins with / is a pointer unless mode says otherwise."""
    (place.state_dir / "vault.json").write_text(json.dumps(content))
    for mode in ({}, {"mode": "json"}):
        vault = {"source": "file", "path": "vault.json", **mode}
        assert place.load(document(file_ref(pointer), vault=vault), NONE="").gateway.auth.token == TOKEN


@pytest.mark.parametrize(
    ("id", "mode"), [("value", {}), ("value", {"mode": "singleValue"}), ("/x", {"mode": "singleValue"})]
)
def test_a_file_that_is_one_secret(place: Place, id: str, mode: dict[str, str]) -> None:
    """The whole of it, without the space around it; its path may have variables."""
    (place.state_dir / "token.txt").write_text(f"\n {TOKEN}\n")
    vault = {"source": "file", "path": "${DIR}/token.txt", **mode}
    settings = place.load(document(file_ref(id), vault=vault), DIR=str(place.state_dir))
    assert settings.gateway.auth.token == TOKEN


def test_the_default_provider(place: Place) -> None:
    """Where nothing defines it, the id is the file's path; otherwise it is as any other."""
    (place.state_dir / "token.txt").write_text(TOKEN)
    (place.state_dir / "vault.json").write_text(json.dumps({"a": f"{TOKEN}-2"}))
    reference = file_ref("token.txt", "default")
    assert place.load(document(reference), NONE="").gateway.auth.token == TOKEN
    default = {"source": "file", "path": "vault.json"}
    assert place.load(document(file_ref("/a", "default"), default=default), NONE="").gateway.auth.token == f"{TOKEN}-2"


def test_a_variable_may_have_any_provider(place: Place) -> None:
    """Its name says nothing about where the variable is."""
    reference = {"source": "env", "provider": "whatever", "id": "SECRET"}
    assert place.load(document(reference), SECRET=TOKEN).gateway.auth.token == TOKEN


def test_a_model_providers_key_may_stand_in_a_file(place: Place) -> None:
    """And its headers, read once for all of them."""
    (place.state_dir / "vault.json").write_text(json.dumps({"key": "k", "org": "o"}))
    provider = {"baseUrl": "http://x", "apiKey": file_ref("/key"), "headers": {"X-Org": file_ref("/org")}}
    settings = place.load(
        {
            "models": {"providers": {"x": provider}},
            "secrets": {"providers": {"vault": {"source": "file", "path": "vault.json"}}},
        }
    )
    assert (settings.providers["x"].api_key, settings.providers["x"].headers["X-Org"]) == ("k", "o")


@pytest.mark.parametrize(
    ("reference", "providers"),
    [
        ({"source": "exec", "provider": "op", "id": "x"}, {}),
        ({"source": "exec", "provider": "vault", "id": "x"}, {"vault": {"source": "file", "path": "x"}}),
        (file_ref("x", "op"), {"op": {"source": "exec", "command": "/bin/true"}}),
        ({"source": "env", "provider": "op", "id": "X"}, {"op": {"source": "exec", "command": "/bin/true"}}),
    ],
)
def test_commands_are_not_run(refused: Refused, reference: Any, providers: Any) -> None:
    """The fault says so, and what to do instead."""
    line = refused(document(reference, **providers), X=TOKEN)
    assert line.startswith("gateway.auth.token: found ")
    assert '"exec"' in line
    assert 'allowed: source "env" or "file": commands are not run for secrets' in line


@pytest.mark.parametrize(
    ("content", "pointer", "what"),
    [
        (None, "/a", "a file that can't be read: No such file or directory"),
        ({"b": HUSH}, "/a", "a file that has nothing there"),
        ([HUSH], "/1", "a file that has nothing there"),
        ([HUSH], "/00", "a file that has nothing there"),
        ([HUSH], "/-", "a file that has nothing there"),
        ({"a": HUSH}, "/a/b", "a file that has nothing there"),
        ({"a": [HUSH]}, "/a", "a file that has no text there"),
        ({"a": 5}, "/a", "a file that has no text there"),
        ({"a": " "}, "/a", "a file that has an empty text there"),
        (f"{{'a': '{HUSH}'}}", "/a", "a file that is not JSON at line 1"),
        ("[" * 100_000, "/a", "a file that is not JSON"),
        (b"\xff", "/a", "a file that is not UTF-8 text"),
        (" " * ((1 << 20) + 1), "/a", "a file that is larger than 1024 KiB"),
    ],
)
def test_a_missing_secret_is_told(place: Place, refused: Refused, content: Any, pointer: str, what: str) -> None:
    """With key, file and pointer, and nothing of what the file holds."""
    path = place.state_dir / "vault.json"
    if content is not None:
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = refused(document(file_ref(pointer), vault={"source": "file", "path": "vault.json"}), NONE="")
    assert line.startswith(f"gateway.auth.token: found {what}")
    assert line.endswith(f'allowed: the secret at "{pointer}" in the file {str(path)!r}')
    assert HUSH not in line


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ("vault.json", "secrets.providers.vault"),
        ({}, "secrets.providers.vault.source"),
        ({"source": "env"}, "secrets.providers.vault.source"),
        ({"source": "file"}, "secrets.providers.vault.path"),
        ({"source": "file", "path": 5}, "secrets.providers.vault.path"),
        ({"source": "file", "path": "${MISSING}"}, "secrets.providers.vault.path"),
        ({"source": "file", "path": "x", "mode": "yaml"}, "secrets.providers.vault.mode"),
    ],
)
def test_a_provider_that_is_needed_is_checked(place: Place, entry: Any, where: str) -> None:
    """What is wrong with it is told at its own key; one that nothing refers to may be anything."""
    lines = place.faults(document(file_ref("/a"), vault=entry), NONE="")
    assert lines[0].startswith(f"{where}: found ")
    assert place.load({"secrets": {"providers": {"vault": entry}, "defaults": {}}}).warnings == ()


@pytest.mark.parametrize(
    ("reference", "allowed"),
    [
        (file_ref("/a", "valt"), "a name that secrets.providers has (now: vault)"),
        (file_ref("a~b"), "an id that is a JSON pointer"),
        (file_ref("/a~2"), "an id that is a JSON pointer"),
        ({"source": "file", "provider": ["x"], "id": "/a"}, "a reference whose provider is a name"),
        ({"source": "file", "provider": "vault"}, "text, or an object with source"),
        ({"source": "vault", "id": "x"}, "text, or an object with source"),
    ],
)
def test_other_references_are_refused(refused: Refused, reference: Any, allowed: str) -> None:
    """The fault at the key says what is allowed."""
    line = refused(document(reference, vault={"source": "file", "path": "x", "mode": "json"}), NONE="")
    assert line.startswith("gateway.auth.token: found ")
    assert f"allowed: {allowed}" in line


def test_a_pipe_is_no_secret(place: Place, refused: Refused) -> None:
    """Nobody waits for somebody to write into it."""
    os.mkfifo(place.state_dir / "pipe")
    assert "is not a regular file" in refused(document({"source": "file", "id": "pipe"}), NONE="")
