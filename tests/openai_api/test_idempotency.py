"""``Idempotency-Key``: what counts as the same request, and what each outcome is told as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.auth import Caller
from app.errors import Conflict, InvalidRequest
from app.openai_api import idempotency
from app.openai_api.idempotency import MAX_KEPT, claim, record_of, replay
from app.sessions.answers import AnswerStore, Claim, KeptAnswer
from app.sessions.database import open_database
from app.sessions.store import SessionStore

ROUTE = "/v1/chat/completions"
CALLER = Caller(identity="token", scopes=frozenset(), address="127.0.0.1", local=True, mode="token")
BODY = {"model": "openclaw", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}
HEADERS = {"Content-Type": "application/json", "x-openclaw-run-id": "r", "x-openclaw-session-key": "s"}
SEEN = ("HTTP_X_OPENCLAW_AGENT_ID", "HTTP_X_OPENCLAW_AGENT", "HTTP_X_OPENCLAW_SESSION_KEY", "HTTP_X_OPENCLAW_MODEL")


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    with gevent.Timeout(30):
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    sessions = SessionStore(open_database(f"sqlite:///{tmp_path}/gateway.sqlite3"))
    yield sessions.answers
    sessions.close()


def ask(
    store: AnswerStore, body: Any = None, *, key: str | None = "key-1", caller: Caller = CALLER, route: str = ROUTE,
    **environ: str,
) -> Claim | KeptAnswer | None:  # fmt: skip
    if key is not None:
        environ["HTTP_IDEMPOTENCY_KEY"] = key
    return claim(store, environ, caller, route, BODY if body is None else body)


def claimed(store: AnswerStore, **asked: Any) -> Claim:
    found = ask(store, **asked)
    assert isinstance(found, Claim)
    return found


def keep(store: AnswerStore, claimed: Claim, headers: dict[str, str], body: bytes) -> None:
    """As the end of a run does it."""
    if (record := record_of(claimed, headers, body)) is not None:
        store.keep(record)
    claimed.free()


def conflict(store: AnswerStore, *body: Any, **asked: Any) -> Conflict:
    with pytest.raises(Conflict) as refused:
        ask(store, *body, **asked)
    assert (refused.value.status, refused.value.type) == (409, "invalid_request_error")
    return refused.value


def test_without_a_key_nothing_is_claimed(store: AnswerStore) -> None:
    """Requests without the header are all done."""
    assert ask(store, key=None) is None
    assert store._claims == {}


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é", "a\tb", "a\x7f"])
def test_malformed_keys(store: AnswerStore, key: str) -> None:
    """A key that is empty, too long or not visible ASCII is refused with the header's name."""
    with pytest.raises(InvalidRequest) as refused:
        ask(store, key=key)
    assert (refused.value.status, refused.value.param) == (400, "Idempotency-Key")


@pytest.mark.parametrize("key", ["!", "x" * 255, "4f9c6b1e-6a0d-4c4e-9f6c-2f0c6a2d3b11", '"quoted"'])
def test_keys_that_are_taken(store: AnswerStore, key: str) -> None:
    """Visible ASCII, 255 characters at most."""
    assert isinstance(ask(store, key=key), Claim)


def test_the_same_request_is_replayed_byte_for_byte(store: AnswerStore) -> None:
    """The kept body and headers come back, with a header that says so."""
    body = b'data: {"a": "\xc3\xa9"}\n\n'
    keep(store, claimed(store), {**HEADERS, "Content-Type": "text/event-stream"}, body)
    kept = ask(store)
    assert isinstance(kept, KeptAnswer)
    response = replay(kept)
    assert (response.status_code, response.get_data()) == (200, body)
    assert response.headers.getlist("Content-Type") == ["text/event-stream"]
    assert response.headers["x-openclaw-run-id"] == "r"
    assert response.headers["x-openclaw-session-key"] == "s"
    assert response.headers["Idempotent-Replayed"] == "true"
    assert response.headers["Content-Length"] == str(len(body))


def test_the_order_of_members_does_not_matter(store: AnswerStore) -> None:
    """An SDK that writes the same body in another order sends the same request."""
    keep(store, claimed(store), HEADERS, b"{}")
    assert isinstance(ask(store, dict(reversed(BODY.items()))), KeptAnswer)


@pytest.mark.parametrize(
    "body", [{}, {**BODY, "stream": True}, {**BODY, "temperature": 0.6}, {**BODY, "unknown": None},
             {**BODY, "messages": [{"role": "user", "content": "hi "}]}],
)  # fmt: skip
def test_another_body_is_another_request(store: AnswerStore, body: Any) -> None:
    """The key is refused for it, whether the first one is answered or under way, and an SDK is told not to retry."""
    first = claimed(store)
    under_way = conflict(store, body)
    keep(store, first, HEADERS, b"{}")
    answered = conflict(store, body)
    for error in (under_way, answered):
        assert error.code == "idempotency_key_reused"
        assert error.headers == {"x-should-retry": "false"}


@pytest.mark.parametrize("header", SEEN)
def test_another_header_that_decides_is_another_request(store: AnswerStore, header: str) -> None:
    """Agent, session and model may stand in headers: the same body for another of them is not the same request."""
    keep(store, claimed(store, **{header: "a\xe9"}), HEADERS, b"{}")
    assert isinstance(ask(store, **{header: "a\xe9"}), KeptAnswer)
    assert conflict(store, **{header: "b"}).code == "idempotency_key_reused"
    assert conflict(store).code == "idempotency_key_reused"


def test_other_headers_do_not_matter(store: AnswerStore) -> None:
    """A retry may have another request id or user agent."""
    keep(store, claimed(store, HTTP_X_REQUEST_ID="1", HTTP_USER_AGENT="a"), HEADERS, b"{}")
    assert isinstance(ask(store, HTTP_X_REQUEST_ID="2", HTTP_X_STAINLESS_RETRY_COUNT="1"), KeptAnswer)


def test_a_value_of_one_header_is_not_that_of_another(store: AnswerStore) -> None:
    """What decides about the request is told apart by where it stands."""
    keep(store, claimed(store, HTTP_X_OPENCLAW_AGENT_ID="a"), HEADERS, b"{}")
    assert conflict(store, HTTP_X_OPENCLAW_SESSION_KEY="a").code == "idempotency_key_reused"


@pytest.mark.parametrize(
    "other", [{"caller": replace(CALLER, identity="bob")}, {"caller": replace(CALLER, mode="password")},
              {"caller": replace(CALLER, identity=None, mode="none")}, {"route": "/v1/responses"}, {"key": "key-2"}],
)  # fmt: skip
def test_a_key_is_of_one_caller_and_route(store: AnswerStore, other: Any) -> None:
    """Another caller's key of the same name is another key, and so is that of another route."""
    keep(store, claimed(store), HEADERS, b"mine")
    theirs = claimed(store, **other)
    keep(store, theirs, HEADERS, b"theirs")
    mine = ask(store)
    assert isinstance(mine, KeptAnswer)
    assert mine.body == b"mine"


def test_the_same_caller_may_come_from_elsewhere(store: AnswerStore) -> None:
    """A retry may leave a phone by another network."""
    keep(store, claimed(store), HEADERS, b"{}")
    assert isinstance(ask(store, caller=replace(CALLER, address="10.0.0.1", local=False)), KeptAnswer)


def test_a_request_under_way_is_to_be_sent_later(store: AnswerStore) -> None:
    """While the first is being answered, the same request is told when to come back."""
    first = claimed(store)
    error = conflict(store)
    assert error.code == "idempotency_key_in_use"
    assert int(error.headers["Retry-After"]) >= 1
    assert error.headers.get("x-should-retry") != "false"
    keep(store, first, HEADERS, b"{}")
    assert isinstance(ask(store), KeptAnswer)


def test_a_failure_frees_the_key(store: AnswerStore) -> None:
    """What failed may be sent again with its key, or something else with it."""
    claimed(store).free()
    claimed(store).free()
    claimed(store, body={"other": 1})


def test_a_very_long_answer_is_not_kept(store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond 8 MiB the key is free again, and the answer is made anew."""
    assert MAX_KEPT == 8 * 1024 * 1024
    monkeypatch.setattr(idempotency, "MAX_KEPT", 5)
    keep(store, claimed(store), HEADERS, b"123456")
    keep(store, claimed(store), HEADERS, b"12345")
    assert isinstance(ask(store), KeptAnswer)


def test_a_body_too_deep_to_be_compared_is_refused(store: AnswerStore) -> None:
    """A field that is ignored otherwise may be deeper than what can be written: that is the caller's mistake."""
    body = orjson.loads('{"metadata":' + "[" * 900 + "]" * 900 + "}")
    with pytest.raises(InvalidRequest, match="nested"):
        ask(store, body)
    assert store._claims == {}


def test_what_is_kept_names_nobody(store: AnswerStore) -> None:
    """On disk stand digests: neither key nor caller nor question."""
    first = claimed(store, caller=replace(CALLER, identity="alice"))
    for digest in (first._key, first.request):
        assert len(digest) == 64
        assert set(digest) <= set("0123456789abcdef")


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-5, 5) | st.none(), max_size=3))
def test_digests_tell_bodies_apart(body: dict[str, Any]) -> None:
    """Bodies have the same digest only when they say the same."""
    assert idempotency._digest(body) == idempotency._digest(dict(reversed(body.items())))
    assert idempotency._digest(body) != idempotency._digest({**body, "one more": 1} if "one more" not in body else {})
    assert idempotency._digest([body]) != idempotency._digest(body)
