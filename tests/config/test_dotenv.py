from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import load
from app.config.dotenv import parse_dotenv
from tests.config.conftest import TOKEN, Place

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("\n \n# A=1\n  # B=2\n", {}),
        ("A=1", {"A": "1"}),
        ("export A=1\n\texport  B=2\n", {"A": "1", "B": "2"}),
        ("export=1", {"export": "1"}),
        (" A = 1 \nB\t=\t2", {"A": "1", "B": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A=\nB=''\nC=\"\"", {"A": "", "B": "", "C": ""}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=a b  c # said\nB=#\nC=a#b\nD='a # b' # c", {"A": "a b  c", "B": "", "C": "a#b", "D": "a # b"}),
        (r"""A="a\nb \"c\" \\n \q" """, {"A": 'a\nb "c" \\n \\q'}),
        (r"A='a\nb'", {"A": r"a\nb"}),
        ('K="BEGIN\nabc=\n# no comment\nEND"\nB=1', {"K": "BEGIN\nabc=\n# no comment\nEND", "B": "1"}),
        ("A='1\n2'", {"A": "1\n2"}),
        ("A=${B}\nC=\"${B}\"", {"A": "${B}", "C": "${B}"}),
        ("A=it's\nB=a=b==", {"A": "it's", "B": "a=b=="}),
    ],
)  # fmt: skip
def test_lines(text: str, variables: dict[str, str]) -> None:
    """Each way to write a variable gives its value."""
    parsed = parse_dotenv(text.removeprefix("\ufeff"))
    assert (parsed.variables, parsed.faults) == (variables, ())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("hush", "a line without ="),
        ("=hush", "no name"),
        ("1A=hush", "a name that is none"),
        ("A B=hush", "a name that is none"),
        ("A-B=hush", "a name that is none"),
        ('A="hush', "a quote that is never closed"),
        ("A='hush", "a quote that is never closed"),
        ('A="hush" hush', "more behind the closing quote"),
        ("A=hush\0", "a NUL"),
    ],
)
def test_other_lines_are_faults(line: str, found: str) -> None:
    """The fault has file and line and nothing that may be a secret; the other lines count."""
    parsed = parse_dotenv(f"A=1\n\n{line}\nB=2")
    assert [str(fault) for fault in parsed.faults] == [f".env:3: found {found}; allowed: NAME=value"]
    assert parsed.variables == {"A": "1", "B": "2"}


@given(st.dictionaries(NAMES, st.text(st.characters(exclude_characters="\0\r"))))
def test_quoted_values_come_back(variables: dict[str, str]) -> None:
    """Whatever is quoted by the rules is read as it was."""
    lines = []
    for name, value in variables.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{escaped}"')
    parsed = parse_dotenv("\n".join(lines))
    assert (parsed.variables, parsed.faults) == (variables, ())


@given(st.text(st.sampled_from("A=\"'#\\\n \0${}x")))
def test_any_text(text: str) -> None:
    """Whatever the text is, each line of it is read or a fault of one line."""
    for fault in parse_dotenv(text).faults:
        assert str(fault).startswith(".env:")
        assert len(str(fault).splitlines()) == 1


def write(place: Place, content: str | bytes) -> Path:
    path = place.state_dir / ".env"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return path


def test_a_token_may_stand_in_dotenv(place: Place) -> None:
    """For ${NAME} in the file, with a byte order mark before it."""
    write(place, b"\xef\xbb\xbfGW_TOK=tok-12345678901234567890\n")
    settings = place.load({"gateway": {"auth": {"mode": "token", "token": "${GW_TOK}"}}}, NONE="")
    assert settings.gateway.auth.token == "tok-12345678901234567890"


def test_dotenv_stands_for_the_gateways_own_variables(place: Place) -> None:
    """Token and port come from there, also without a configuration file; state and file don't move."""
    write(place, f"OPENCLAW_GATEWAY_TOKEN={TOKEN}\nOPENCLAW_GATEWAY_PORT=4001\nOPENCLAW_STATE_DIR=/elsewhere\n")
    settings = load(place.environment())
    assert (settings.gateway.auth.token, settings.gateway.port) == (TOKEN, 4001)
    assert settings.state_dir == place.state_dir


def test_a_wrong_port_in_dotenv_is_a_fault(place: Place) -> None:
    """As one in the environment is."""
    write(place, "OPENCLAW_GATEWAY_PORT=many")
    (line,) = place.faults({})
    assert line == 'OPENCLAW_GATEWAY_PORT: found "many"; allowed: an integer from 1 to 65535'


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"A=\xff", "is not UTF-8 text at byte 2"),
        (b"A=" + b"x" * 65_535, "is larger than 64 KiB"),
        (None, "can't be read: Is a directory"),
    ],
)
def test_an_unusable_dotenv_is_one_fault(place: Place, content: Any, what: str) -> None:
    """It isn't passed over: what it holds would be missed somewhere else."""
    path = place.state_dir / ".env"
    path.mkdir() if content is None else path.write_bytes(content)
    assert place.faults({}) == [f"{path}: {what}"]


def test_all_lines_are_told_with_the_files_faults(place: Place) -> None:
    """Everything that is wrong is named at once."""
    write(place, "one\ntwo")
    lines = place.faults({"gateway": {"port": "x"}})
    assert [line.partition(": ")[0] for line in lines] == [".env:1", ".env:2", "gateway.port"]


@pytest.mark.parametrize(("text", "told"), [("API_KEY=x", True), ("API_KEY=", False), ("LANG=C", False)])
def test_secrets_in_a_dotenv_that_others_can_read_are_told(place: Place, text: str, told: bool) -> None:
    """As those of the configuration file are."""
    path = write(place, text)
    path.chmod(0o644)
    assert [f"chmod 600 {path}" in line for line in place.load({}).warnings] == [True] * told
