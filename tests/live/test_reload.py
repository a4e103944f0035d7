"""The configuration file is watched: good changes are in force without a restart, bad ones change nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.expect import expect_error
from tests.live.gateway import TOKEN, Answer, Gateway, chat_body, config_for, wait_until
from tests.scripted import Reply, ScriptedProvider

APPLIED = "configuration applied"
OFF = {"reload": {"mode": "off"}}
LATER = "later-token-0123456789"


def change(gateway: Gateway, provider: ScriptedProvider, /, **changes: Any) -> None:
    """Replace the file by the usual configuration with these changes, and wait until it is in force."""
    before = gateway.log.count(APPLIED)
    gateway.write_config(config_for(provider.base_url, **changes))
    wait_until(lambda: gateway.log.count(APPLIED) > before, "the change is applied")


def models(gateway: Gateway, token: str = TOKEN) -> Answer:
    return gateway.call("/v1/models", method="GET", token=token)


# One good change of several things at once.


@pytest.fixture(scope="module")
def other() -> Iterator[ScriptedProvider]:
    """The provider to which the change moves."""
    with ScriptedProvider() as provider:
        provider.default = Reply("from the other")
        yield provider


@pytest.fixture(scope="module")
def cut_through() -> dict[str, bytes]:
    """What a stream that was open during the change had still to say."""
    return {}


@pytest.fixture(scope="module")
def changed(
    tmp_path_factory: pytest.TempPathFactory,
    _shared_provider: ScriptedProvider,
    other: ScriptedProvider,
    cut_through: dict[str, bytes],
) -> Iterator[Gateway]:
    """A gateway whose file got another token, agent, provider and port while it answered a stream of agent beta."""
    gateway = Gateway(tmp_path_factory.mktemp("changed") / "state", config_for(_shared_provider.base_url))
    hold = threading.Event()
    _shared_provider.reset()
    _shared_provider.enqueue(Reply("before", "after", hold=hold, hold_at=1))
    try:
        gateway.wait_until_up()
        with gateway.open(body=chat_body(model="openclaw/beta", stream=True)) as response:
            assert b"data:" in response.readline()
            change(
                gateway,
                other,
                gateway={"port": 1, "auth": {"token": LATER}},
                agents={"list": [{"id": id, "model": "scripted/m"} for id in ("main", "gamma")]},
                models={"providers": {"scripted": {"apiKey": "another-key"}}},
            )
            hold.set()
            cut_through["rest"] = response.read()
        yield gateway
    finally:
        hold.set()
        gateway.kill()


def test_a_new_token_replaces_the_old_one(changed: Gateway) -> None:
    """From the change on the old token opens nothing, and the log shows neither."""
    assert models(changed, TOKEN).status == 401
    assert models(changed, LATER).status == 200
    assert TOKEN not in changed.log
    assert LATER not in changed.log


def test_a_new_agent_answers(changed: Gateway) -> None:
    """An agent is there as soon as the file has it, and gone as soon as the file hasn't."""
    assert [model["id"] for model in models(changed, LATER).json["data"]][2:] == ["openclaw/main", "openclaw/gamma"]
    assert changed.call(body=chat_body(model="openclaw/gamma"), token=LATER).status == 200
    answer = changed.call(body=chat_body(model="openclaw/beta"), token=LATER)
    expect_error(answer, 404, "invalid_request_error", code="model_not_found", param="model")


def test_a_provider_moves(changed: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    """The next call goes to the new address with the new key."""
    assert changed.call(body=chat_body(), token=LATER).text == "from the other"
    assert other.requests[-1].headers["Authorization"] == "Bearer another-key"
    assert provider.requests == []


def test_a_stream_outlives_a_change(changed: Gateway, cut_through: dict[str, bytes]) -> None:
    """What is being answered is answered to its end, though its agent and provider are gone from the file."""
    assert b'"content":"after"' in cut_through["rest"]
    assert cut_through["rest"].endswith(b"data: [DONE]\n\n")


def test_what_needs_a_restart_says_so(changed: Gateway) -> None:
    """A port can't be changed live: the log names the key, and the rest of the change is in force."""
    wait_until(lambda: "gateway.port changed: restart" in changed.log, "the key is named")


# Changes one after another.


@pytest.fixture(scope="module")
def _watching(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("watching") / "state", config_for(_shared_provider.base_url))
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.kill()


@pytest.fixture
def watching(_watching: Gateway, provider: ScriptedProvider) -> Gateway:
    """A gateway that watches its file and has the usual configuration, as each test leaves it."""
    return _watching


def test_the_endpoint_is_switched_off_and_on(watching: Gateway, provider: ScriptedProvider) -> None:
    """The flag decides between the endpoint and a 404, whatever the method, without a restart in between."""
    change(watching, provider, gateway={"http": {"endpoints": {"chatCompletions": {"enabled": False}}}})
    for answer in (watching.chat(), watching.call(method="GET"), watching.chat(stream=True), models(watching)):
        expect_error(answer, 404, "not_found_error")
    change(watching, provider)
    assert watching.chat().status == 200
    assert models(watching).status == 200


def test_a_bad_change_changes_nothing(watching: Gateway, provider: ScriptedProvider) -> None:
    """The faults are logged with their place, the last good configuration stays, and a mended file is taken."""
    for bad, fault in (('{"gateway": {"maxRuns": "many"}}', "gateway.maxRuns"), ("{ gateway", "openclaw.json:1:")):
        begin = len(watching.log)
        watching.config_path.write_text(bad)
        wait_until(lambda begin=begin, fault=fault: fault in watching.log[begin:], "the fault is logged")
        assert "last good" in watching.log[begin:]
        assert watching.chat().status == 200
    change(watching, provider)
    assert watching.chat().status == 200


def test_a_limit_that_cannot_be_held_changes_nothing(watching: Gateway, provider: ScriptedProvider) -> None:
    """A key that restricts what nothing here restricts is refused, and told to who may read the health."""

    def refused(token: str | None = TOKEN) -> Any:
        return watching.call("/readyz", method="GET", token=token).json.get("configRefused")

    watching.write_config(config_for(provider.base_url, gateway={"roles": {"default": "guest"}}))
    wait_until(refused, "the fault is told")
    assert [line.partition(":")[0] for line in refused()] == ["gateway.roles"]
    assert refused(token=None) is None
    assert "gateway.roles: found " in watching.log
    assert watching.chat().status == 200
    change(watching, provider)
    assert refused() is None


def test_a_pattern_of_the_log_counts_at_once(watching: Gateway, provider: ScriptedProvider) -> None:
    """The line that says that the change is applied has already lost what the pattern matches."""
    patterns = {"redactPatterns": [r"/applied from \S+/"]}
    watching.write_config(config_for(provider.base_url, logging=patterns))
    wait_until(lambda: "configuration ***\n" in watching.log, "the pattern is in force")
    change(watching, provider)


def test_a_missing_file_changes_nothing(watching: Gateway, provider: ScriptedProvider) -> None:
    """Some editors delete before they write: until the file is back the last good configuration stays."""
    watching.config_path.unlink()
    wait_until(lambda: "is gone" in watching.log, "the loss is logged")
    assert watching.chat().status == 200
    change(watching, provider)
    assert watching.chat().status == 200


# Without watching.


@pytest.fixture
def deaf(_deaf: Gateway, provider: ScriptedProvider) -> Gateway:
    """A gateway that doesn't watch its file."""
    return _deaf


@pytest.fixture(scope="module")
def _deaf(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("deaf") / "state", config_for(_shared_provider.base_url, gateway=OFF))
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.kill()


def hang_up(gateway: Gateway) -> None:
    """SIGHUP, and wait for the fresh worker."""
    before = gateway.log.count("Booting worker")
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.log.count("Booting worker") > before, "a fresh worker boots")


def test_watching_can_be_turned_off(deaf: Gateway, watching: Gateway, provider: ScriptedProvider) -> None:
    """With gateway.reload.mode off a change is not applied, while a gateway that watches has applied two later ones."""
    deaf.write_config(config_for(provider.base_url, gateway={**OFF, "auth": {"token": LATER}}))
    change(watching, provider)
    change(watching, provider)
    assert models(deaf).status == 200
    assert models(deaf, LATER).status == 401


def test_sighup_with_a_bad_file_does_no_harm(deaf: Gateway) -> None:
    """A fresh worker serves with the last good configuration, and the log has the faults."""
    deaf.config_path.write_text('{"gateway": {"maxRuns": "many", "port": 0}}')
    hang_up(deaf)
    wait_until(lambda: "Worker exiting" in deaf.log, "the old worker ends")
    assert deaf.chat(user="a").text == "Hello world"
    assert deaf.process.poll() is None
    for key in ("gateway.maxRuns", "gateway.port"):
        assert f"the last good one stays: {key}: " in deaf.log
    assert "Traceback" not in deaf.log


def test_sighup_turns_nobody_away(deaf: Gateway, provider: ScriptedProvider) -> None:
    """While the old worker finishes its stream, every new call is answered; then the new file is in force."""
    deaf.write_config(
        config_for(provider.base_url, gateway=OFF, agents={"list": [{"id": "new", "model": "scripted/m"}]})
    )
    hold = threading.Event()
    provider.enqueue(Reply("before", "after", hold=hold, hold_at=1))
    with deaf.open(body=chat_body(stream=True)) as response:
        assert b"data:" in response.readline()
        hang_up(deaf)
        assert {deaf.chat().status for _ in range(40)} == {200}
        hold.set()
        assert b'"content":"after"' in response.read()
    wait_until(lambda: deaf.chat(model="openclaw/new").status == 200, "the new file is in force")
