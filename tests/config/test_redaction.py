from typing import Any

import pyjson5
import pytest
from hypothesis import given, settings

from app.config import REDACTED, ConfigError, redacted, redacted_parsed, restored
from tests.config.texts import SECRET, TEXTS, Text

KEY = "sk-0123456789"


@settings(max_examples=150)
@given(TEXTS)
def test_no_secret_is_left(written: Text) -> None:
    """Of any text, neither values nor comments show a secret; without secrets in it, it stays as it is."""
    shown = redacted(written.text)
    pyjson5.decode(shown)
    for secret in written.secrets:
        assert secret not in str(pyjson5.decode(shown))
    assert SECRET not in shown
    assert redacted(shown) == shown


@settings(max_examples=150)
@given(TEXTS)
def test_what_was_shown_comes_back_whole(written: Text) -> None:
    """A text that comes back unchanged is the stored one again, to the letter."""
    assert restored(redacted(written.text), written.text) == written.text


@given(TEXTS)
def test_parsed_documents_follow_the_same_rules(written: Text) -> None:
    """Whether parsed before or after, the same is hidden."""
    assert redacted_parsed(written.value) == pyjson5.decode(redacted(written.text))


@pytest.mark.parametrize(
    "text",
    [
        f"{{gateway: {{auth: {{token: '{KEY}'}}}}}}",
        f"{{gateway: {{auth: {{token: 'early-{KEY}', token: '{KEY}'}}}}}}",
        f"{{models: {{providers: {{p: {{apiKey: 'half ${{NAME}} {KEY}'}}}}}}}}",
        f"{{models: {{providers: {{p: {{headers: {{'X-Any': '{KEY}'}}}}}}}}}}",
        f"{{mcp: {{servers: {{s: {{env: {{ANY: {{deep: ['{KEY}']}}}}}}}}}}}}",
        f"{{mcp: {{servers: {{s: {{args: ['-y', '--api-key', '{KEY}']}}}}}}}}",
        f"{{mcp: {{servers: {{s: {{args: ['--token={KEY}']}}}}}}}}",
        f"{{mcp: {{servers: {{s: {{url: 'https://h/mcp?x=1&apiKey={KEY}'}}}}}}}}",
        f"{{storage: {{url: 'postgresql://u:{KEY}@h/d'}}}}",
        f"{{cluster: {{redisUrl: 'rediss://:{KEY}@h'}}}}",
        f"{{channels: {{telegram: {{botToken: '{KEY}'}}, slack: {{signingSecret: '{KEY}'}}}}}}",
        f"{{env: {{vars: {{ANY: '{KEY}'}}, OTHER: '{KEY}'}}}}",
        f"{{token: {{source: 'env', id: 'N', value: '{KEY}'}}}}",
        f"{{env: {{source: 'env', id: '{KEY}'}}}}",
        f"{{a: 1 /* apiKey: '{KEY}' */}} // token={KEY}",
        f"{{a: 1 /* token={KEY}*/}}",
        f"{{token: '/', password: '*', apiKey: '{KEY}' /* / * /*/}} // /",
        f"{{a: 1}} // Authorization: Bearer {KEY}",
        "{env: {PIN: 123456789}} // 123456789".replace("123456789", "8675309"),
    ],
)
def test_where_secrets_stand(text: str) -> None:
    """Each of these places is hidden, and filled again."""
    shown = redacted(text)
    assert KEY not in shown
    assert "8675309" not in shown
    assert restored(shown, text) == text


@pytest.mark.parametrize(
    "text",
    [
        "{gateway: {auth: {token: '${TOKEN}', password: \"\"}}}",
        "{models: {providers: {p: {apiKey: {source: 'file', id: 'key.txt'}, headers: {A: {source: 'env', id: 'B'}}}}}}",
        "{storage: {url: 'postgresql://host/db'}, mcp: {servers: {s: {url: 'https://h/mcp?page=1', args: ['-y']}}}}",
        "{models: {providers: {p: {models: [{id: 'm', maxTokens: 5}], compat: {maxTokensField: 'max_tokens'}}}}}",
        "{gateway: {auth: {token: null, password: true}}, session: {mainKey: 'main'}}",
        "{a: 1 /* apiKey: ${KEY} */} // the token is the operator's",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """References say where a secret is, not what it is; other values are nobody's secret."""
    assert redacted(text) == text


def test_a_short_secret_is_a_word_in_comments() -> None:
    """It isn't cut out of other words, and a harmless variable's value not at all."""
    shown = redacted("{token: 'ab', env: {LANG: 'C'}} // ab: C is a cab")
    assert shown.endswith(f"// {REDACTED}: C is a cab")


def test_comments_are_hidden_whole_where_secrets_are_too_many() -> None:
    """Beyond what can be looked for in reasonable time nothing of a comment is shown."""
    secrets = ", ".join(f"N{number}: 'secret-{number}'" for number in range(201))
    text = f"{{env: {{{secrets}}}}} // secret-7 /* and more"
    assert redacted(text).endswith(f"}} //{REDACTED}")
    assert restored(redacted(text), text) == text


STORED = f"""{{
  gateway: {{ auth: {{ token: '{KEY}' }} }},
  list: [{{ id: 'a', token: 'of-a' }}, {{ id: 'b', token: 'of-b' }}, {{ token: 'nameless' }}],
  env: {{ ONE: 'one', TWO: 'two' }},
}}"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{gateway: {auth: {token: 'R', mode: 'token'}}}", {"gateway": {"auth": {"token": KEY, "mode": "token"}}}),
        ('{"gateway": {"auth": {"token": "R"}}}', {"gateway": {"auth": {"token": KEY}}}),
        ("{list: [{id: 'b', token: 'R'}]}", {"list": [{"id": "b", "token": "of-b"}]}),
        ("{list: [{id: 'x'}, {id: 'a', token: 'R'}]}", {"list": [{"id": "x"}, {"id": "a", "token": "of-a"}]}),
        ("{list: [1, 2, {token: 'R'}]}", {"list": [1, 2, {"token": "nameless"}]}),
        ("{env: {TWO: 'R', ONE: 'new'}}", {"env": {"TWO": "two", "ONE": "new"}}),
        ("{env: {TWO: '\\x5f_OPENCLAW_REDACTED__'}}", {"env": {"TWO": "two"}}),
        ("{env: {TWO: 'R', TWO: 'R'}}", {"env": {"TWO": "two"}}),
    ],
)
def test_a_changed_text_keeps_stored_secrets(text: str, value: Any) -> None:
    """The mark stands for the secret of the same path, in a list for that of the object with the same id."""
    assert (
        pyjson5.decode(restored(text.replace("'R'", f"'{REDACTED}'").replace('"R"', f'"{REDACTED}"'), STORED)) == value
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{gateway: {auth: {password: 'R'}}}", "gateway.auth.password"),
        ("{token: 'R'}", "token"),
        ("{list: [{id: 'c', token: 'R'}]}", r"list\[0\]\.token"),
        ("{list: [{token: 'R'}]}", r"list\[0\]\.token"),
        ("{gateway: {auth: {token: 'Bearer R'}}}", "gateway.auth.token"),
        ("{gateway: {auth: 'R'}}", "gateway.auth"),
        ("{gateway: ['R']}", r"gateway\[0\]"),
    ],
)
def test_a_mark_without_a_secret_is_refused(text: str, path: str) -> None:
    """It is never stored as if it were a value, and never filled from another path."""
    with pytest.raises(ConfigError, match=f"^{path}: found {REDACTED}"):
        restored(text.replace("R'", f"{REDACTED}'"), STORED)


@pytest.mark.parametrize("stored", [None, "", "{broken", "[]"])
def test_without_a_stored_text_there_are_no_secrets(stored: str | None) -> None:
    """A new text may replace one that is missing or broken, with its own secrets only."""
    text = "{gateway: {auth: {token: 'mine'}}}"
    assert restored(text, stored) == text
    with pytest.raises(ConfigError, match=r"gateway\.auth\.token"):
        restored(redacted(text), stored)


def test_a_text_that_speaks_of_the_mark_stays() -> None:
    """Where the stored value says the same, nothing was hidden."""
    text = f"{{agents: {{defaults: {{systemPrompt: 'Never say {REDACTED}.'}}}}}}"
    assert restored(text, text) == text


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_text_shows_nothing(text: str) -> None:
    """What can't be read can't be redacted."""
    with pytest.raises(ConfigError):
        redacted(text)
