from collections.abc import Callable
from typing import Any

import pytest

from tests.config.conftest import TOKEN, Place

Refused = Callable[..., str]


def provider(**values: Any) -> dict[str, Any]:
    return {"models": {"providers": {"p": {"baseUrl": "http://x", **values}}}}


def storage(url: str) -> dict[str, Any]:
    return {"storage": {"url": url}}


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:11434/v1", "HTTPS://api.example.com/v1/", "http://[::1]:8080", "http://h", "http://h/a%20b@c"],
)
def test_base_urls(place: Place, url: str) -> None:
    """Scheme, host, port and path of a provider are taken as written."""
    assert place.load(provider(baseUrl=url)).providers["p"].base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com/v1",
        f"https:/u:{TOKEN}@h",
        f"u:{TOKEN}@h http://x",
        f"ftp://u:{TOKEN}@h",
        "http://",
        "http:///v1",
        "http://:80",
        "http://h:abc",
        "http://h:99999",
        "http://h:0",
        "http://[::1/v1",
        "http://a..b",
        "http://bücher.example",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://h/\x00",
        f"http://u:{TOKEN}@h/v1",
        f"http://{TOKEN}@h:abc",
        f"http://{TOKEN}:@[::1/v1",
        f"http://h/v1?key={TOKEN}",
        f"http://h/v1#{TOKEN}",
        "http://h/v1?",
    ],
)
def test_bad_base_urls(refused: Refused, url: str) -> None:
    """What no client could call, and what would put a secret into a URL, is one line without that secret."""
    line = refused(provider(baseUrl=url))
    assert line.startswith("models.providers.p.baseUrl: found ")
    assert "allowed: a URL " in line
    assert TOKEN not in line
    assert line.splitlines() == [line]


def test_urls_are_unicode(place: Place) -> None:
    """Bytes of a variable that are no UTF-8 make no URL."""
    document = {**provider(baseUrl="http://h/${V}"), **storage("sqlite:///${V}")}
    lines = place.faults(document, V="\udc80", OPENCLAW_GATEWAY_TOKEN="t")
    assert [line.partition(":")[0] for line in lines] == ["models.providers.p.baseUrl", "storage.url"]


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00b", "a\x7fb", "a\x85b", "schlüssel€", "ключ", " a", ""])
def test_what_can_not_be_a_header_is_refused(place: Place, value: str) -> None:
    """Keys and headers are Latin-1 without control characters."""
    lines = place.faults(provider(apiKey=value, headers={"X-Key": value}))
    assert [line.partition(": ")[0] for line in lines] == [
        "models.providers.p.apiKey",
        "models.providers.p.headers.X-Key",
    ]
    assert all("found text;" in line for line in lines)


@pytest.mark.parametrize("written", ["${V}", {"source": "env", "id": "V"}, {"source": "file", "id": "secret.txt"}])
@pytest.mark.parametrize("value", ["a\r\nX: y", "ключ"])
def test_what_a_reference_brings_is_checked(place: Place, written: Any, value: str) -> None:
    """A key or a header from a variable or a file is checked like one in the file."""
    (place.state_dir / "secret.txt").write_bytes(value.encode())
    document = provider(apiKey=written, headers={"X-Key": written})
    assert len(place.faults(document, V=value, OPENCLAW_GATEWAY_TOKEN="t")) == 2


def test_headers_may_be_latin_1(place: Place) -> None:
    """What Latin-1 has beyond ASCII is sent as it is."""
    assert place.load(provider(headers={"X-Name": "Zoë Müller"})).providers["p"].headers["X-Name"] == "Zoë Müller"


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\r\nY", "Zoë", "a/b", "(x)"])
def test_header_names_are_tokens(refused: Refused, name: str) -> None:
    """A name that RFC 9110 doesn't allow is refused."""
    assert "allowed: the name of a header" in refused(provider(headers={name: "1"}))


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("sqlite:////var/lib/my gateway/100%25#1.db", "sqlite:////var/lib/my gateway/100%25#1.db"),
        ("SQLite:///x.db", "sqlite:///x.db"),
        ("postgresql://u:p@h/d?sslmode=require", "postgresql://u:p@h/d?sslmode=require"),
    ],
)
def test_storage_urls(place: Place, written: str, url: str) -> None:
    """A path is taken literally after sqlite:///, and only the scheme is made lower case."""
    assert place.load(storage(written)).storage_url == url


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite://x.db",
        "sqlite:///:memory:",
        "sqlite:///x.db?mode=ro",
        "sqlite:///x%00.db",
        "sqlite:///x\x00.db",
        "sqlite:///x\n.db",
        "sqlite:///x\x85.db",
        "sqlite:/// ",
        "sqlite:///x.db ",
        "postgresql://",
        "postgresql://h/a b",
        "mysql://h/d",
    ],
)
def test_bad_storage_urls(refused: Refused, url: str) -> None:
    """A URL that names no file that lasts is refused."""
    assert refused(storage(url)).startswith("storage.url: found ")


def test_what_an_operator_adds_to_requests(place: Place) -> None:
    """The model's word counts over the provider's, and the conversation is nobody's to replace."""
    settings = place.load(
        provider(
            params={"extra_body": {"top_k": 1, "seed": 2}, "temperature": 1},
            models=[{"id": "m", "params": {"extraBody": {"top_k": 3, "messages": []}}}],
        )
        | {"agents": {"defaults": {"models": {"p/m": {"params": {"chat_template_kwargs": {"x": 1}}}}}}}
    )
    entry = settings.providers["p"]
    assert dict(entry.models[0].body) == {"top_k": 3, "seed": 2, "chat_template_kwargs": {"x": 1}}
    assert dict(entry.body) == {"top_k": 1, "seed": 2}
    assert any("models.providers.p.params.temperature" in warning for warning in settings.warnings)


@pytest.mark.parametrize("name", ["extra_body", "extraBody", "chat_template_kwargs"])
@pytest.mark.parametrize("value", [[1], None, "x", 1])
def test_what_is_added_is_an_object(refused: Refused, name: str, value: Any) -> None:
    """Anything else stops the start with the key's path."""
    assert f"models.providers.p.params.{name}" in refused(provider(params={name: value}))


def test_a_models_own_ways(place: Place) -> None:
    """A model may have an address, a format, headers and a compatibility of its own."""
    own = {"id": "m", "api": "openai-responses", "baseUrl": "http://y", "headers": {"X": "1"}}
    settings = place.load(
        provider(models=[{**own, "compat": {"supportsTools": False}}], dialect="openai", passFields=["a"])
    )
    entry = settings.providers["p"]
    (model,) = entry.models
    assert (model.api, model.base_url, dict(model.headers)) == ("openai-responses", "http://y", {"X": "1"})
    assert (model.compat.supports_tools, entry.dialect, entry.pass_fields) == (False, "openai", ("a",))


def origins(*entries: Any) -> dict[str, Any]:
    return {"gateway": {"controlUi": {"allowedOrigins": entries}, "http": {"cors": {"allowedOrigins": entries}}}}


LEFT_OUT = ["*", "null", "Null", "file://", "file:///", "localhost", "example.com/", "localhost:3000", "[::1]:80"]


@pytest.mark.parametrize("entry", LEFT_OUT)
def test_origins_that_no_page_has_are_left_out(place: Place, entry: str) -> None:
    """A file starts with them, one line of warning names each where it stands, and the other entries count."""
    settings = place.load(origins("https://a.example", entry, "HTTPS://B.example/"))
    kept = ("https://a.example", "https://b.example")
    assert settings.gateway.control_ui.allowed_origins == settings.gateway.cors_allowed_origins == kept
    (warning,) = settings.warnings
    shown = '"file://…"' if entry.startswith("file") else f'"{entry}"'
    places = [f"gateway.{where}.allowedOrigins[1] {shown}" for where in ("controlUi", "http.cors")]
    assert warning.endswith(f"that don't count as they are written: left out {', '.join(places)}")


def test_what_a_variable_leaves_out_is_not_shown(place: Place) -> None:
    """The warning quotes the file, not the environment."""
    document = {"gateway": {"controlUi": {"allowedOrigins": ["${PAGE}"]}}}
    settings = place.load(document, PAGE="example.com", OPENCLAW_GATEWAY_TOKEN=TOKEN)
    assert settings.gateway.control_ui.allowed_origins == ()
    assert settings.warnings[0].endswith('left out gateway.controlUi.allowedOrigins[0] "${PAGE}"')


@pytest.mark.parametrize(
    "entry", ["", "/", " ", "http://", "http://a/b", "https://a?x", "file:///a", "a/b", "a b", "*.example.com", 1, None]
)
def test_bad_origins(place: Place, entry: Any) -> None:
    """What is no origin at all is a fault where it stands, also behind an entry that is left out."""
    lines = place.faults(origins("*", entry))
    where = [f"gateway.{name}.allowedOrigins[1]: found " for name in ("controlUi", "http.cors")]
    assert [line for line, start in zip(sorted(lines), where, strict=True) if not line.startswith(start)] == []


def test_the_loopback_as_a_proxy(place: Place) -> None:
    """The word stands for both networks of this machine, among other proxies."""
    networks = place.load({"gateway": {"trustedProxies": ["loopback", "10.0.0.1"]}}).gateway.trusted_proxies
    assert list(map(str, networks)) == ["127.0.0.0/8", "::1/128", "10.0.0.1/32"]


@pytest.mark.parametrize("word", ["*", "tailscale", "Loopback", "private", "", "localhost"])
def test_no_other_word_is_a_proxy(refused: Refused, word: str) -> None:
    """Whom a word would trust is not guessed."""
    assert refused({"gateway": {"trustedProxies": ["loopback", word]}}).startswith("gateway.trustedProxies[1]: ")


def logging(*patterns: Any) -> dict[str, Any]:
    return {"logging": {"redactPatterns": patterns}}


def test_patterns_of_the_log(place: Place) -> None:
    """Both forms are read, in their order, and an old file's other key beside them is ignored by its name."""
    document = {"logging": {"redactPatterns": ["emp-\\d+", "/Secret/"], "redactSensitive": "off"}}
    settings = place.load(document)
    bare, slashed = settings.logging.redact_patterns
    assert (bare.sub("*", "Emp-12 x"), slashed.sub("*", "Secret secret")) == ("* x", "* secret")
    assert [line.partition("written: ")[2] for line in settings.warnings] == ["ignored logging.redactSensitive"]
    assert place.load(document).logging == settings.logging


def test_a_hundred_patterns(place: Place, refused: Refused) -> None:
    """As many as that, and no more."""
    assert len(place.load(logging(*["x"] * 100)).logging.redact_patterns) == 100
    line = "logging.redactPatterns: found a list; allowed: a list of 100 regular expressions at most"
    assert refused(logging(*["x"] * 101)) == line


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a*", "another regular expression: of this one, it matches the empty text"),
        ("(x", "another regular expression: of this one, a ( without its ), at character 1"),
        ("(a+)+", "another regular expression: of this one, a repetition of what may match in several ways"),
        ("x" * 501, "another regular expression: of this one, it has more than 500 characters"),
        (7, 'a regular expression such as "sk-[a-z0-9]+" or "/secret/i"'),
    ],
)
def test_bad_patterns(refused: Refused, pattern: Any, why: str) -> None:
    """A pattern that can't be obeyed keeps the gateway from starting, and the line says why."""
    line = refused(logging("fine", pattern))
    assert line.startswith("logging.redactPatterns[1]: found ")
    assert f"allowed: {why}" in line
