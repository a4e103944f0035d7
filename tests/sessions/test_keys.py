"""Session keys: how they are made, which are refused, and how a header carries them."""

from __future__ import annotations

import uuid
from contextlib import suppress
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.sessions import keys

# What a JSON string or a UTF-8 header can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_stateless_keys_are_never_the_same() -> None:
    """Each stateless call has a key of its own, with a UUID at its end."""
    first, second = keys.stateless("main"), keys.stateless("main")
    assert first != second
    assert first.startswith("agent:main:openai:")
    uuid.UUID(first.removeprefix("agent:main:openai:"))


def test_a_users_key_is_stable_and_keeps_its_case() -> None:
    """The same ``user`` has the same key, and ``alice`` shares nothing with ``ALICE``."""
    assert keys.of_user("main", "alice") == keys.of_user("main", "alice") == "agent:main:openai-user:alice"
    assert keys.of_user("main", "ALICE") == "agent:main:openai-user:ALICE"
    assert keys.of_user("beta", "alice") == "agent:beta:openai-user:alice"


def test_behind_a_proxy_each_identity_has_its_own_users() -> None:
    """The proxy's user stands before the request's."""
    assert keys.of_user("main", "u", "ann@example.com") == "agent:main:openai-user:ann@example.com/u"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(TEXT, TEXT), st.tuples(TEXT, TEXT))
def test_no_identity_reaches_into_another(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Different identities never share a key, whatever slashes stand in identity and user."""
    if one[0] and other[0] and one != other:
        with suppress(InvalidRequest):
            assert keys.of_user("main", one[1], one[0]) != keys.of_user("main", other[1], other[0])


@pytest.mark.parametrize("identity", ["ann", "a/b", "a%2Fb", "dom:ann", "openai-user:ann", "Zo\u00eb"])
def test_a_key_says_whose_it_is(identity: str) -> None:
    """All that are derived for an identity hold it; those without one, and other agents' names in front, do not."""
    own = keys.encoded(identity)
    for key in (keys.of_user("main", "u/v", identity), keys.stateless("main", identity), keys.main("main", identity)):
        assert keys.owner(key) == own
        assert keys.owner(keys.of_header("beta", key)) is None
    for key in (keys.main("main"), keys.stateless("main"), keys.of_user("main", "u")):
        assert keys.owner(key) is None


def test_slashes_of_an_identity_are_its_own() -> None:
    """``a`` with user ``b/c`` and ``a/b`` with user ``c`` are two."""
    assert keys.of_user("main", "b/c", "a") != keys.of_user("main", "c", "a/b")
    assert keys.of_user("main", "c", "a%2Fb") != keys.of_user("main", "c", "a/b")


@pytest.mark.parametrize(
    ("given_key", "key"),
    [
        ("agent:main:mine", "agent:main:mine"),
        ("agent:main:", "agent:main:"),
        ("mine", "agent:main:mine"),
        ("agent:beta:mine", "agent:main:agent:beta:mine"),
        ("agent:mainly:x", "agent:main:agent:mainly:x"),
        ("agent:main", "agent:main:agent:main"),
        ("../../etc/passwd", "agent:main:../../etc/passwd"),
        ("Ключ 🔑", "agent:main:Ключ 🔑"),
    ],
)
def test_a_callers_key_stands_under_its_agent(given_key: str, key: str) -> None:
    """A key that begins with ``agent:<id>:`` of the chosen agent is used as given, any other is put under it."""
    assert keys.of_header("main", given_key) == key


@pytest.mark.parametrize(
    ("key", "agent"),
    [
        ("agent:beta:x", "beta"),
        ("agent:beta:", "beta"),
        ("agent:beta:agent:main:x", "beta"),
        ("agent:beta", None),
        ("agent::x", None),
        ("x:agent:beta:y", None),
        ("", None),
    ],
)
def test_which_agent_a_key_names(key: str, agent: str | None) -> None:
    """Only the form ``agent:<id>:…`` names an agent, and the first one counts."""
    assert keys.named_agent(key) == agent


@pytest.mark.parametrize("prefix", ["", "agent:main:", "AGENT:Main:", "agent:main:agent:beta:", " ", "agent:main: "])
@pytest.mark.parametrize("reserved", ["subagent:", "cron:", "acp:", "SubAgent:", "CRON:", "aCp:", "cron:nightly"])
def test_reserved_keys_are_refused(prefix: str, reserved: str) -> None:
    """The gateway's own sessions can't be reached, bare or behind any number of agents, whatever the case."""
    with pytest.raises(InvalidRequest, match="reserved") as refused:
        keys.check_not_reserved(prefix + reserved)
    assert refused.value.param == "x-openclaw-session-key"


@pytest.mark.parametrize("key", ["subagent", "cronjob:1", "my-cron:1", "agent:main:x:cron:1", "agent:cron:x", "acp"])
def test_keys_that_only_look_reserved_are_fine(key: str) -> None:
    """A reserved word elsewhere than at the beginning of the key is a name like any other."""
    keys.check_not_reserved(key)


CONTROL = ["\x00", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x9f", "\u2028", "\u2029"]


@pytest.mark.parametrize("character", CONTROL, ids=lambda character: f"U+{ord(character):04X}")
def test_control_characters_are_refused(character: str) -> None:
    """No control character gets into a key, wherever it comes from, and the message names the field."""
    with pytest.raises(InvalidRequest, match="control") as of_user:
        keys.of_user("main", f"a{character}b")
    with pytest.raises(InvalidRequest, match="control") as of_identity:
        keys.of_user("main", "u", f"a{character}b")
    with pytest.raises(InvalidRequest, match="control") as of_header:
        keys.of_header("main", f"agent:main:{character}")
    assert [raised.value.param for raised in (of_user, of_identity, of_header)] == [
        "user",
        "user",
        "x-openclaw-session-key",
    ]


def test_the_limit_counts_the_whole_key() -> None:
    """512 characters are taken, 513 are refused, with everything that the gateway puts before."""
    prefix = len("agent:main:openai-user:")
    assert len(keys.of_user("main", "é" * (512 - prefix))) == 512
    with pytest.raises(InvalidRequest, match="513"):
        keys.of_user("main", "é" * (513 - prefix))
    assert len(keys.of_header("main", "agent:main:" + "x" * 501)) == 512
    with pytest.raises(InvalidRequest, match="513"):
        keys.of_header("main", "agent:main:" + "x" * 502)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT)
def test_a_header_carries_every_key(key: str) -> None:
    """The header form is visible ASCII and decodes to the key."""
    carried = keys.for_header(key)
    assert all("!" <= character <= "~" for character in carried)
    assert unquote(carried, errors="strict") == key


def test_readable_keys_stay_readable() -> None:
    """Visible ASCII but for the percent sign stands in the header as it is."""
    assert keys.for_header("agent:main:openai-user:a/b@c d%") == "agent:main:openai-user:a/b@c%20d%25"
