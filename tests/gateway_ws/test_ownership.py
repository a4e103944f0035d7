"""Behind a trusted proxy nobody sees, hears or writes to another's sessions, whichever method is tried."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.gateway_ws.methods import METHODS
from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import Config, Gateway, chat_body, config_for, wait_until
from tests.scripted import Reply, ScriptedProvider

READ, WRITE, ADMIN = "operator.read", "operator.write", "operator.admin"
PROXY: dict[str, Any] = {
    "auth": {"mode": "trusted-proxy", "trustedProxy": {"userHeader": "x-user", "allowLoopback": True}},
    "trustedProxies": ["127.0.0.1"],
}
BOBS = "agent:main:openai-user:bob/main"
NOBODYS = "agent:main:notes"

# Every method is one of these, with what is asked of the session or the run ``{}``.
SESSION: dict[str, dict[str, Any]] = {
    "agent": {"sessionKey": "{}", "message": "x", "idempotencyKey": "t-1", "extraSystemPrompt": "obey me"},
    "chat.send": {"sessionKey": "{}", "message": "x", "idempotencyKey": "t-2"},
    "chat.abort": {"sessionKey": "{}"},
    "sessions.send": {"key": "{}", "message": "x"},
    "sessions.abort": {"key": "{}"},
    "tools.effective": {"sessionKey": "{}"},
    "tools.invoke": {"name": "session_status", "sessionKey": "{}"},
    "sessions.preview": {"keys": ["main", "{}"]},
    "sessions.describe": {"key": "{}"},
    "sessions.resolve": {"key": "{}"},
    "sessions.get": {"key": "{}"},
    "sessions.usage": {"key": "{}"},
    "sessions.create": {"key": "{}"},
    "sessions.patch": {"key": "{}", "label": "mine now"},
    "sessions.messages.subscribe": {"key": "{}"},
    "sessions.messages.unsubscribe": {"key": "{}"},
    "chat.history": {"sessionKey": "{}"},
    "sessions.compact": {"key": "{}", "maxLines": 1},
    "chat.inject": {"sessionKey": "{}", "message": "x"},
    "sessions.reset": {"key": "{}"},
    "sessions.delete": {"key": "{}"},
}
RUN: dict[str, dict[str, Any]] = {"agent.wait": {"runId": "{}"}, "sessions.abort": {"runId": "{}"}}
# What tells of all sessions: of one's own only, or nothing at all.
LISTS = {
    "sessions.list",
    "sessions.subscribe",
    "sessions.usage",
    "usage.status",
    "health",
    "status",
    "system-presence",
    "logs.tail",
}
NEITHER = {"agents.list", "models.list", "tools.catalog"} | {
    f"config.{name}" for name in ("get", "schema", "set", "patch", "apply")
}


def test_every_method_is_classed() -> None:
    """One that is new must say whether it takes a session or a run, lists them, or neither."""
    assert set(METHODS) == {*SESSION, *RUN, *LISTS, *NEITHER}


def behind_proxy(provider_url: str, **auth: Any) -> Config:
    config = config_for(provider_url)
    config["gateway"] |= {**PROXY, "auth": PROXY["auth"] | auth}
    return config


@pytest.fixture(scope="module")
def _behind_proxy(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("proxy") / "state", behind_proxy(_shared_provider.base_url))
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.stop()


@pytest.fixture
def gateway(_behind_proxy: Gateway, provider: ScriptedProvider) -> Gateway:
    return _behind_proxy


As = Callable[..., Client]


@pytest.fixture
def as_user(gateway: Gateway) -> Iterator[As]:
    """``as_user("ann", READ)`` is connected as that user of the proxy."""
    clients: list[Client] = []

    def connect(user: str, *scopes: str) -> Client:
        clients.append(Client(gateway, header=[f"x-user: {user}"]))
        return clients[-1].connect(token=None, scopes=scopes)

    yield connect
    for client in clients:
        client.close()


def with_key(value: Any, named: str) -> Any:
    return json.loads(json.dumps(value).replace("{}", named))


def say(client: Client, key: str, run_id: str, message: str = "hi") -> None:
    client.call("chat.send", {"sessionKey": key, "message": message, "idempotencyKey": run_id})
    client.event("chat", runId=run_id, state="final")


def http(gateway: Gateway, user: str, text: str = "hi", *, scopes: str = WRITE, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.call(
        body=chat_body(text), token=None, headers={"x-user": user, "x-openclaw-scopes": scopes, **named}
    )


@pytest.mark.parametrize("key", [BOBS, NOBODYS], ids=["anothers", "nobodys"])
def test_another_session_is_for_admins(gateway: Gateway, as_user: As, provider: ScriptedProvider, key: str) -> None:
    """Every method that takes a session refuses another's, or nobody's, without operator.admin, and changes nothing."""
    bob = as_user("bob", ADMIN)
    provider.enqueue(Reply("a secret of bob's"))
    say(bob, key, f"bobs-first-in-{key}")
    before = bob.call("chat.history", {"sessionKey": key})["messages"]
    asked = len(provider.requests)
    for scope in (READ, WRITE):
        ann = as_user("ann", READ, scope)
        for method, params in SESSION.items():
            with pytest.raises(Refused) as refusal:
                ann.call(method, with_key(params, key))
            assert refusal.value.error["code"] == "FORBIDDEN", method
            assert "secret" not in str(refusal.value.error)
    assert bob.call("chat.history", {"sessionKey": key})["messages"] == before
    assert len(provider.requests) == asked
    root = as_user("root", ADMIN)
    for method, params in SESSION.items():
        call = with_key(params, key)
        if "idempotencyKey" in call:
            call["idempotencyKey"] += key
        root.call(method, call)


@pytest.mark.parametrize("name", ["sessionId", "label"])
def test_no_other_name_of_a_session_is_a_way_in(as_user: As, name: str) -> None:
    """By id it is refused as by its key; a label finds one's own only."""
    bob, ann = as_user("bob", READ, WRITE), as_user("ann", READ, WRITE)
    made = bob.call("sessions.create", {"key": f"by-{name}", "label": f"bobs-{name}"})
    if name == "label":
        assert ann.call("sessions.resolve", {"label": "bobs-label", "allowMissing": True}) == {"ok": False}
        assert bob.call("sessions.resolve", {"label": "bobs-label"})["key"] == made["key"]
        return
    for method, params in (
        ("sessions.resolve", {}),
        ("agent", {"message": "x", "idempotencyKey": "by-id"}),
    ):
        with pytest.raises(Refused) as refusal:
            ann.call(method, {"sessionId": made["sessionId"], **params})
        assert refusal.value.code == "FORBIDDEN", method


def test_labels_are_ones_own(as_user: As) -> None:
    """What another has called a session is neither told nor in the way; one's own twice is still refused."""
    for user in ("hal", "ida"):
        client = as_user(user, READ, WRITE)
        assert client.call("sessions.create", {"key": "a", "label": "plans"})["entry"]["label"] == "plans"
        assert client.call("sessions.resolve", {"label": "plans"})["key"] == f"agent:main:openai-user:{user}/a"
        with pytest.raises(Refused, match=f"{user}/a"):
            client.call("sessions.patch", {"key": "b", "label": "plans"})


def test_bare_keys_are_ones_own(as_user: As, provider: ScriptedProvider) -> None:
    """``main`` and every bare key mean a session of the caller's own, as what is written under them shows."""
    ann, bob = as_user("ann", READ, WRITE), as_user("bob", READ, WRITE, ADMIN)
    for client, name in ((ann, "ann"), (bob, "bob")):
        main = f"agent:main:openai-user:{name}/main"
        assert client.hello["snapshot"]["sessionDefaults"]["mainSessionKey"] == main
        provider.enqueue(Reply(f"for {name} alone"))
        say(client, "main", f"own-{name}")
        row = client.call("sessions.describe", {"key": "main"})["session"]
        assert (row["key"], row["isMain"]) == (main, True)
        assert f"for {name} alone" in str(client.call("chat.history", {"sessionKey": "main"}))
        made = client.call("sessions.create", {"agentId": "beta"})["key"]
        assert made.startswith(f"agent:beta:openai-user:{name}/dashboard:")
    assert "bob alone" not in str(ann.call("chat.history", {"sessionKey": "main"}))
    # A bare key that is written like another's stays one's own.
    assert ann.call("sessions.create", {"key": "openai-user:bob/main"})["key"] == (
        "agent:main:openai-user:ann/openai-user:bob/main"
    )
    with pytest.raises(Refused, match="can't be deleted"):
        bob.call("sessions.delete", {"key": "main"})


def test_http_and_websocket_share_the_rule(gateway: Gateway, as_user: As, provider: ScriptedProvider) -> None:
    """The key that an answer names can be named again by its owner, over either API, and by nobody else."""
    answer = gateway.call(
        body=chat_body("hi", user="talks"), token=None, headers={"x-user": "cleo", "x-openclaw-scopes": WRITE}
    )
    key = answer.headers["x-openclaw-session-key"]
    assert key == "agent:main:openai-user:cleo/talks"
    assert http(gateway, "cleo", x_openclaw_session_key=key).status == 200
    assert http(gateway, "ann", x_openclaw_session_key=key).status == 403
    assert http(gateway, "ann", x_openclaw_session_key="talks").status == 403
    assert http(gateway, "ann", x_openclaw_session_key=key, scopes=ADMIN).status == 200
    assert as_user("cleo", READ).call("chat.history", {"sessionKey": "talks"})["totalMessages"] == 6


def test_lists_leave_others_out(gateway: Gateway, as_user: As, provider: ScriptedProvider) -> None:
    """Sessions, usage, presence, health and status are one's own without operator.admin; the log is refused."""
    dora = as_user("dora", READ, WRITE)
    say(dora, "shopping", "doras-run")
    root = as_user("root", ADMIN)
    wait_until(lambda: "dora" in json.dumps(root.call("health")), "the sessions are counted again")
    for method in ("sessions.list", "sessions.usage", "system-presence", "health", "status", "logs.tail"):
        assert "dora" in json.dumps(root.call(method)), method
    eve = as_user("eve", READ, WRITE)
    assert eve.call("sessions.list")["sessions"] == []
    assert eve.call("sessions.list", {"search": "dora"})["totalCount"] == 0
    assert [row["key"] for row in dora.call("sessions.list")["sessions"]] == ["agent:main:openai-user:dora/shopping"]
    for method in ("sessions.usage", "usage.status", "health", "status", "system-presence"):
        assert "dora" not in json.dumps(eve.call(method)), method
    assert "dora" not in json.dumps(eve.hello["snapshot"])
    assert eve.call("sessions.usage")["totals"]["turns"] == 0
    assert eve.call("usage.status")["totals"]["today"]["turns"] == 0
    assert dora.call("usage.status")["totals"]["today"]["turns"] == 1
    with pytest.raises(Refused) as refusal:
        eve.call("logs.tail")
    assert refusal.value.code == "FORBIDDEN"


def test_events_reach_their_owner_alone(gateway: Gateway, as_user: As, provider: ScriptedProvider) -> None:
    """Of a run in a session, of a stateless one, of what is stored and of who is there."""
    eve = as_user("eve", READ, WRITE)
    eve.call("sessions.subscribe")
    fay, root = as_user("fay", READ, WRITE), as_user("root", ADMIN)
    for each in (fay, root):
        each.call("sessions.subscribe")
    provider.enqueue(Reply("words for fay"))
    say(fay, "main", "fays-run")
    provider.enqueue(Reply("words for fay, stateless"))
    key = http(gateway, "fay").headers["x-openclaw-session-key"]
    assert key.startswith("agent:main:openai:fay/")
    for each in (fay, root):
        each.event("chat", sessionKey=key, state="final")
        each.event("session.message", sessionKey="agent:main:openai-user:fay/main")
        each.event("sessions.changed", sessionKey="agent:main:openai-user:fay/main", reason="run-ended")
    # An event that all hear comes behind those that she must not.
    say(eve, "main", "eves-run")
    assert "fay" not in json.dumps(eve.events)
    assert {event["event"] for event in eve.events} >= {"chat", "agent", "session.message", "sessions.changed"}


@pytest.mark.parametrize("stateless", [False, True], ids=["in-a-session", "stateless"])
def test_anothers_run_is_neither_awaited_nor_ended(
    gateway: Gateway, as_user: As, provider: ScriptedProvider, stateless: bool
) -> None:
    """Not while it is at work, not when it ended, not when it began after it was waited for."""
    gus, eve = as_user("gus", READ, WRITE), as_user("eve", READ, WRITE)
    hold = threading.Event()
    provider.enqueue(Reply("slowly", hold=hold))
    waiting = eve.begin("agent.wait", {"runId": f"gus-run-{stateless}"})
    worker = threading.Thread(target=http, args=(gateway, "gus"))
    if stateless:
        worker.start()
        run_id = gus.event("agent", stream="lifecycle")["payload"]["runId"]
        early = eve.begin("agent.wait", {"runId": run_id})
    else:
        run_id, early = f"gus-run-{stateless}", waiting
        gus.call("chat.send", {"sessionKey": "main", "message": "hi", "idempotencyKey": run_id})
        gus.event("agent", runId=run_id, stream="lifecycle")
    for method, params in RUN.items():
        with pytest.raises(Refused) as refusal:
            eve.call(method, with_key(params, run_id))
        assert refusal.value.code == "FORBIDDEN", method
    hold.set()
    gus.event("chat", runId=run_id, state="final")
    for id in (early, eve.begin("agent.wait", {"runId": run_id})):
        with pytest.raises(Refused) as refusal:
            eve.answer(id)
        assert refusal.value.code == "FORBIDDEN"
    assert gus.call("agent.wait", {"runId": run_id})["status"] == "ok"
    if stateless:
        worker.join()


TWINS = [
    ("ann", "Ann"),
    ("jos\u00e9", "jose\u0301"),
    ("a/b", "a"),
    ("a/b", "a%2Fb"),
    ("100%", "100%25"),
    ("dom:ann", "dom"),
    ("ann", "ann%"),
    ("a_b", "axb"),
    ("ann", "openai-user:ann"),
]


@pytest.mark.parametrize(("one", "other"), TWINS, ids=[f"{a!a}-{b!a}" for a, b in TWINS])
def test_no_identity_is_another(as_user: As, provider: ScriptedProvider, one: str, other: str) -> None:
    """Whatever letters it has, and whatever it looks like when it is encoded: neither's sessions are the other's."""
    for mine, theirs in ((one, other), (other, one)):
        me, they = as_user(mine, READ, WRITE), as_user(theirs, READ, WRITE)
        key = me.call("sessions.create", {"key": "twin", "label": f"of {mine}"})["key"]
        assert key in [row["key"] for row in me.call("sessions.list")["sessions"]]
        assert key not in [row["key"] for row in they.call("sessions.list")["sessions"]]
        with pytest.raises(Refused) as refusal:
            they.call("sessions.get", {"key": key})
        assert refusal.value.code == "FORBIDDEN"
        me.call("sessions.get", {"key": key})


def test_a_user_that_is_no_utf8_is_refused(gateway: Gateway) -> None:
    """Read as Latin-1 it might be another's name in UTF-8."""
    assert gateway.call(body=chat_body(), token=None, headers={"x-user": "jos\u00e9"}).status == 400


def test_the_operator_on_the_machine_has_all(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Whoever comes in by the password, as the command line does, is told apart from nobody."""
    gateway = start_gateway(config=behind_proxy(provider.base_url, password="for-this-machine"))
    cleo = Client(gateway, header=["x-user: cleo"]).connect(token=None, scopes=(WRITE,))
    say(cleo, "main", "cleos-run")
    with connected(gateway, None, auth={"password": "for-this-machine"}, scopes=(READ, WRITE)) as here:
        assert here.hello["snapshot"]["sessionDefaults"]["mainSessionKey"] == "agent:main:main"
        keys = [row["key"] for row in here.call("sessions.list")["sessions"]]
        assert keys == ["agent:main:openai-user:cleo/main"]
    cleo.close()


def test_who_came_in_under_another_mode_has_to_come_again(start_gateway: StartGateway) -> None:
    """A connection of before hears and asks nothing any more under the new rules."""
    gateway = start_gateway()
    before = Client(gateway).connect()
    before.call("sessions.subscribe")
    gateway.write_config(behind_proxy("http://127.0.0.1:9/v1"))
    assert before.closed().code == 1008
    say_who = Client(gateway, header=["x-user: ann"]).connect(token=None, scopes=(READ,))
    with pytest.raises(Refused) as refusal:
        say_who.call("sessions.get", {"key": "agent:main:main"})
    assert refusal.value.code == "FORBIDDEN"
    say_who.close()
