"""The log: one line an event, for people or as JSON, and nothing secret in it."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trial
from hypothesis import strategies as st

from app.config.patterns import read_pattern
from app.config.settings import Auth, Gateway, Logging, McpServer, Provider, Settings
from app.ops import logs
from app.ops.redaction import REDACTED, WINDOW, Redaction
from tests.agents.scene import settings

SETTINGS = settings(
    gateway=Gateway(auth=Auth(token="the-token-1", password="the-password-1")),
    providers=(
        Provider(
            id="p",
            base_url="http://p",
            api_key="the-api-key-1",
            headers=MappingProxyType({"X-Api-Key": "the-header-1", "X-Title": "not a secret"}),
        ),
    ),
)
SETTINGS = replace(
    SETTINGS,
    mcp_servers={
        "m": McpServer(
            name="m",
            env=MappingProxyType({"GITHUB_TOKEN": "the-env-1", "MODE": "production"}),
            headers=MappingProxyType({"Authorization": "the-mcp-header-1"}),
        )
    },
)
CONFIGURED = ["the-token-1", "the-password-1", "the-api-key-1", "the-header-1", "the-env-1", "the-mcp-header-1"]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers, root.level = handlers, level
    logs.configure(None)
    root.handlers = handlers
    root.setLevel(level)


class Log:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.logger = logging.getLogger("gateway.test")

    def configure(
        self, style: str = "pretty", level: str = "info", base: Settings = SETTINGS, patterns: Sequence[str] = ()
    ) -> None:
        # pytest adds handlers of its own for each phase of a test.
        logging.getLogger().handlers = []
        read = tuple(map(read_pattern, patterns))
        logs.configure(replace(base, logging=Logging(level=level, console_style=style, redact_patterns=read)))

    def written(self) -> str:
        return self._capsys.readouterr().err

    def line(self) -> str:
        """The one line that was written."""
        written = self.written()
        assert written.endswith("\n")
        assert written.count("\n") == 1
        return written[:-1]


@pytest.fixture
def log(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> Log:
    log = Log(capsys)
    log.configure()
    return log


# How events look.


def test_a_line_for_people(log: Log) -> None:
    """Time in UTC, level, logger, message."""
    log.logger.info("run %s took %d ms", "r1", 7)
    when, level, name, message = log.line().split(None, 3)
    assert (when[10], when[-1], len(when)) == ("T", "Z", 24)
    assert (level, name, message) == ("info", "gateway.test:", "run r1 took 7 ms")


def test_a_line_for_machines(log: Log) -> None:
    """The same as an object of JSON."""
    log.configure("json")
    log.logger.warning("run %s", "r1")
    entry = json.loads(log.line())
    assert set(entry) == {"time", "level", "logger", "message"}
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "gateway.test", "run r1")


@pytest.mark.parametrize("style", ["pretty", "json"])
@pytest.mark.parametrize(
    "message", ["a\nb", "a\r\nb", "\n", "a\rb", "\n\n2026-01-01T00:00:00.000Z info    gateway: forged"]
)
def test_a_message_stays_on_its_line(log: Log, style: str, message: str) -> None:
    """What a caller sends can't look like an event of its own."""
    log.configure(style)
    log.logger.info("said %s", message)
    assert "said" in log.line()


INVISIBLE = "\x1b[2J\x07\x7f\x85\xa0\xad\u061c\u200b\u200d\u2028\u2029\u202e\u2066\ufeff\ud800\U000e0041\t\r\v\f\x1c"


@pytest.mark.parametrize("character", INVISIBLE)
def test_what_can_not_be_seen_is_spelled_out(log: Log, character: str) -> None:
    """Nothing in a message moves a terminal's cursor, turns text around, or breaks a line; the rest stays readable."""
    log.logger.info("a%sé漢🙂 b", character)
    line = log.line()
    assert line.isprintable()
    assert line.endswith(f"a{ascii(character)[1:-1]}é漢🙂 b")


@pytest.mark.parametrize("character", [*INVISIBLE, "\n"])
def test_nor_in_a_trace(log: Log, character: str) -> None:
    """What is raised with a text of somebody else can neither hide anything nor look like an event of its own."""
    try:
        raise ValueError(f"no{character}2026-01-01T00:00:00.000Z info    gateway: forged")
    except ValueError:
        log.logger.exception("run failed")
    _, *trace = log.written().splitlines()
    assert all(line.isprintable() and line.startswith("    ") for line in trace)
    assert trace[-1].endswith("info    gateway: forged")


def test_a_fault_brings_its_trace(log: Log) -> None:
    """For people the trace follows its line, indented; the secrets in it are gone too."""
    try:
        raise ValueError("the-token-1 is wrong")
    except ValueError:
        log.logger.exception("run failed")
    first, *trace = log.written().splitlines()
    assert first.endswith("run failed")
    assert trace[0].startswith("    Traceback")
    assert trace[-1] == f"    ValueError: {REDACTED} is wrong"


def test_a_fault_as_json_is_one_line(log: Log) -> None:
    """The trace is a member of the object."""
    log.configure("json")
    try:
        raise ValueError("the-token-1 is wrong")
    except ValueError:
        log.logger.exception("run failed")
    entry = json.loads(log.line())
    assert entry["message"] == "run failed"
    assert entry["trace"].endswith(f"ValueError: {REDACTED} is wrong")


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("fatal", ["critical"]),
        ("error", ["error", "critical"]),
        ("warn", ["warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("debug", ["debug", "info", "warning", "error", "critical"]),
    ],
)
def test_levels(log: Log, level: str, seen: list[str]) -> None:
    """The configured level decides what is written."""
    log.configure(level=level)
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(log.logger, name)("x")
    assert [line.split()[1] for line in log.written().splitlines()] == seen


def test_every_level_of_the_configuration_is_known() -> None:
    """No level that the configuration takes is missing here."""
    assert set(logs.LEVELS) == {"fatal", "error", "warn", "info", "debug"}


def test_a_reload_changes_style_and_secrets(log: Log) -> None:
    """Configuring again writes each event once, in the new style, without the new secrets."""
    log.configure("json", base=replace(SETTINGS, gateway=Gateway(auth=Auth(token="a-new-token"))))
    log.configure("json", base=replace(SETTINGS, gateway=Gateway(auth=Auth(token="a-new-token"))))
    log.logger.info("x a-new-token the-token-1")
    assert json.loads(log.line())["message"] == f"x {REDACTED} the-token-1"


def test_before_there_are_settings(log: Log) -> None:
    """A start that fails logs plain lines from info on."""
    logs.configure(None)
    log.logger.debug("no")
    log.logger.info("yes")
    assert log.line().endswith("gateway.test: yes")


# Odd records.


@pytest.mark.parametrize("style", ["pretty", "json"])
@pytest.mark.parametrize("message", [None, 5, {"a": 1}, b"bytes", ValueError("x"), "100%", "\x00", "\U0001f600", ""])
def test_messages_of_every_kind(log: Log, style: str, message: Any) -> None:
    """Whatever is logged is written on its line."""
    log.configure(style)
    log.logger.info(message)
    assert log.line()


@pytest.mark.parametrize("style", ["pretty", "json"])
def test_arguments_that_do_not_fit_end_nothing(log: Log, style: str) -> None:
    """A mistake in a log call is no fault of the run that makes it, and the next event is written."""
    log.configure(style)
    log.logger.info("%d tokens", "many")
    log.logger.info(*("%s %s", "one"))
    log.written()
    log.logger.info("next")
    assert "next" in log.line()


def test_a_file_name_that_is_no_text_as_json(log: Log) -> None:
    """Names that the system can't decode carry lone surrogates, and are written all the same."""
    log.configure("json")
    log.logger.info("%s", "caf\udce9")
    assert "caf" in json.loads(log.line())["message"]


def test_a_record_without_a_fault(log: Log) -> None:
    """``exc_info`` where nothing is being handled is no reason to fail."""
    log.logger.error("x", exc_info=True)
    assert "x" in log.written()


# Secrets.


@pytest.mark.parametrize("style", ["pretty", "json"])
@pytest.mark.parametrize("secret", CONFIGURED)
def test_configured_secrets_are_unreadable(log: Log, style: str, secret: str) -> None:
    """Every secret of the configuration, wherever it stands in an event."""
    log.configure(style)
    log.logger.info("before%safter", secret)
    line = log.line()
    assert secret not in line
    assert f"before{REDACTED}after" in line


LOOK_ALIKES = [
    ("Bearer abc.def-123", f"Bearer {REDACTED}"),
    ("bearer  abc", f"bearer  {REDACTED}"),
    ("sk-proj-0123456789abcdef0123", REDACTED),
    ("key sk_live_0123456789abcdef in use", f"key {REDACTED} in use"),
    ("ghp_0123456789abcdefghij", REDACTED),
    ("xoxb-0123456789-abcdefghij", REDACTED),
    ("api_key=abc", f"api_key={REDACTED}"),
    ("apiKey: abc, more", f"apiKey: {REDACTED}, more"),
    ('{"password": "hunter2"}', f'{{"password": "{REDACTED}"}}'),
    ("token='abc'", f"token='{REDACTED}'"),
    ("x-api-key: abc", f"x-api-key: {REDACTED}"),
    ("?token=abc&x=1", f"?token={REDACTED}&x=1"),
    ("postgresql://user:hunter2@db/gateway", f"postgresql://user:{REDACTED}@db/gateway"),
]


@pytest.mark.parametrize(("text", "shown"), LOOK_ALIKES)
def test_what_looks_like_a_secret_is_unreadable(text: str, shown: str) -> None:
    """Whoever wrote it into a message, its label stays and its value goes."""
    assert Redaction()(text) == shown


@pytest.mark.parametrize(
    "text",
    ["Authorization: Bearer abcdef0123", "{'Authorization': 'Bearer abcdef0123'}", "authorization=Basic abcdef0123"],
)
def test_an_authorization_header_is_unreadable(text: str) -> None:
    """The credentials go with their scheme."""
    assert "abcdef0123" not in Redaction()(text)


@pytest.mark.parametrize("text", ["redis://:hunter2@r/0", "OPENCLAW_GATEWAY_TOKEN=hunter2"])
def test_other_places_of_secrets(text: str) -> None:
    """A URL without a user, and a variable of the environment."""
    assert "hunter2" not in Redaction()(text)


@pytest.mark.parametrize(
    "text",
    [
        "usage 12+5, max_tokens 5",
        "max_tokens: 5",
        "no api key is configured",
        "the token limit is reached",
        "http://127.0.0.1:18789/v1",
        "https://example.com/a@b",
        "monkey-business-in-the-house",
        "session 'agent:main:openai-user:alice'",
        "gateway.auth.token changed: restart the gateway to apply it",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """A log that hides what it is about helps nobody."""
    assert Redaction()(text) == text


def test_short_secrets_are_words() -> None:
    """A secret of a few letters would take ordinary words apart."""
    assert Redaction(("main", ""))("agent main") == "agent main"


def test_a_secret_that_is_part_of_another() -> None:
    """The longer one goes whole."""
    redact = Redaction(("abcdef", "abcdef-ghijkl"))
    assert redact("x abcdef-ghijkl abcdef") == f"x {REDACTED} {REDACTED}"


@trial(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(min_size=6), st.text(), st.text())
def test_no_configured_secret_survives(secret: str, before: str, after: str) -> None:
    """Whatever characters it has and wherever it stands."""
    shown = Redaction((secret,))(before + secret + after)
    assert secret not in shown or secret in REDACTED or secret in before + REDACTED + after


# What the operator's patterns match.


def redaction(*patterns: str, secrets: tuple[str, ...] = ()) -> Redaction:
    return Redaction(secrets, [read_pattern(each) for each in patterns])


@pytest.mark.parametrize("style", ["pretty", "json"])
def test_what_a_pattern_matches_is_unreadable(log: Log, style: str) -> None:
    """In a message and in a trace, on stderr and in the tail, in both forms of the log."""
    log.configure(style, patterns=[r"/Emp-\d{4}/", "internal\\.example"])
    cursor = logs.tail.read(None, 1, 1000)["cursor"]
    try:
        raise ValueError("no Emp-1234 at db.Internal.Example")
    except ValueError:
        log.logger.exception("Emp-5678, emp-9999 and %s", "Emp-0000")
    kept = "\n".join(logs.tail.read(cursor, 100, 100_000)["lines"])
    for text in (log.written(), kept):
        assert f"{REDACTED}, emp-9999 and {REDACTED}" in text
        assert f"ValueError: no {REDACTED} at db.{REDACTED}" in text
        assert not re.search(r"Emp-|Internal", text)


def test_a_reload_brings_new_patterns(log: Log) -> None:
    """From then on they count, and the old ones no longer."""
    log.configure(patterns=["first"])
    log.configure(patterns=["second"])
    log.logger.info("first, second")
    assert log.line().endswith(f"first, {REDACTED}")


def test_a_pattern_and_a_secret_that_overlap() -> None:
    """A pattern sees the text as it was, and what it takes leaves no piece of a secret readable."""
    redact = redaction("[a-z]+ of u?1", "56", secrets=("abc-1234-xyz",))
    assert (
        redact("id of u1, token=zz, 123456, abc-1234-xyz")
        == f"{REDACTED}, token={REDACTED}, 1234{REDACTED}, {REDACTED}"
    )
    assert redaction("1234", secrets=("abc-1234-xyz",))("x abc-1234-xyz y") == f"x {REDACTED} y"
    assert redaction("c-1234-xyz y", secrets=("abc-1234-xyz",))("x abc-1234-xyz y z") == f"x {REDACTED} z"
    assert redaction("key-0123")("key-0123456789abcdef-gh z") == f"{REDACTED} z"


def test_what_matches_nothing_takes_nothing() -> None:
    """A pattern never puts the mark where no character was."""
    assert Redaction((), [re.compile("x*")])("axxb") == f"a{REDACTED}b"


@trial(deadline=None, max_examples=50)
@given(st.integers(0, 3 * WINDOW), st.integers(0, 3 * WINDOW), st.integers(1, WINDOW // 2))
def test_a_long_text_is_seen_in_pieces(before: int, after: int, length: int) -> None:
    """Wherever a match stands it is found, as long as it is no longer than half of what is seen at once."""
    text = "." * before + "<" + "x" * (length - 1) + "." * after
    shown = "." * before + REDACTED + "." * after
    assert redaction(f"<x{{{length - 1}}}")(text) == shown


def test_the_beginning_of_a_piece_is_not_that_of_the_text() -> None:
    """Nor the begin of a word, wherever the text is cut."""
    text = "a" * (5 * WINDOW)
    assert redaction("/^aa/")(text) == REDACTED + text[2:]
    assert redaction(r"\baa")(text) == REDACTED + text[2:]


@pytest.mark.parametrize("text", ["A." * 50_000, "://a:" * 20_000, "a" * 100_000], ids=["schemes", "urls", "word"])
def test_a_long_line_takes_no_time(text: str) -> None:
    """What looks for secrets looks at each character a few times, whatever the line is."""
    began = time.monotonic()
    Redaction()(f"{text} token=x")
    assert time.monotonic() - began < 2


def test_gunicorns_log_goes_the_same_way(log: Log) -> None:
    """gunicorn's messages have the gateway's form and level, and its own handlers write nothing beside."""
    from gunicorn.config import Config

    made = logs.GunicornLogger(Config())
    try:
        made.info("Listening at: %s", "http://127.0.0.1:1")
        assert log.line().endswith("gunicorn.error: Listening at: http://127.0.0.1:1")
    finally:
        made.error_log.propagate = made.access_log.propagate = False
    assert sys.stderr is not None


def test_ordinary_settings_stay_readable(log: Log) -> None:
    """A header or variable that is no secret is not taken out of every line that happens to hold its words."""
    log.configure()
    log.logger.info("in production this is not a secret")
    assert log.line().endswith("in production this is not a secret")


def test_a_log_that_nobody_reads_stops_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """When stderr takes no more, lines are dropped and not waited for; the next one that goes out says how many."""
    log.configure()
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as unread, os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        for _ in range(3000):
            log.logger.info("x" * 100)
        unread.read(1 << 20)
        log.logger.info("the next one")
        *_, dropped, following = unread.read(1 << 20).decode().splitlines()
    assert re.fullmatch(r"\([1-9][0-9]+ lines of the log were dropped: nobody read them\)", dropped)
    assert following.endswith("the next one")


def test_a_log_without_a_reader_stops_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a reader that went away."""
    log.configure()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        log.logger.info("said to nobody")
        assert logs._handler._dropped == 1
        monkeypatch.undo()
    logs._handler._dropped = 0


# What is kept of it.


def kept(after: int) -> list[str]:
    lines: list[str] = logs.tail.read(after, 5000, 1_000_000)["lines"]
    return lines


@pytest.fixture
def now() -> int:
    """The cursor behind all that was logged so far."""
    cursor: int = logs.tail.read(None, 1, 1)["cursor"]
    return cursor


@pytest.mark.parametrize("style", ["pretty", "json"])
def test_the_tail_holds_the_lines_as_they_are_printed(log: Log, now: int, style: str) -> None:
    """Each of them, a trace's too, with the secrets unreadable."""
    log.configure(style)
    log.logger.info("the-token-1 is secret")
    try:
        raise ValueError("the-token-1")
    except ValueError:
        log.logger.exception("run failed")
    lines = kept(now)
    assert lines == log.written().splitlines()
    assert len(lines) > 1
    assert not any("the-token-1" in line for line in lines)


def test_the_tail_holds_what_nobody_read(log: Log, now: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that stderr did not take are there."""
    log.configure()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        log.logger.info("said to nobody")
        monkeypatch.undo()
    logs._handler._dropped = 0
    [line] = kept(now)
    assert line.endswith("said to nobody")
