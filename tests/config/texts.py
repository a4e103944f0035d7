"""JSON5 texts of every look: comments and spaces anywhere, both quotes, bare names, trailing commas, names twice."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import strategies as st

SECRET = "sekret"  # in each secret of a text, and nowhere else
_SECRET_KEYS = ("token", "password", "apiKey")
_SECRET_MAPS = ("headers", "env")
_NAMES = [*_SECRET_KEYS, *_SECRET_MAPS, "a", "b", "id", "list", "é", "a.b", "X-Y", "", 'q"uote', "__proto__"]
_SPACES = ["", "", " ", "  ", "\n", "\n    ", "\t", "\r\n", "\u00a0", "\u2028", "\ufeff"]

# Single letters, so that no part of SECRET comes in by chance.
_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e9, 1e9) | st.text("aé'\"\\/*\n\u2028😀")
)
VALUES = st.recursive(
    _SCALARS | st.sampled_from(["${NAME}", "// no comment", "/* none */"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(_NAMES), VALUES, max_size=5)


class Text:
    """text: how ``value`` was written. secrets: the values that nobody may see."""

    def __init__(self, value: dict[str, Any], choose: random.Random) -> None:
        self._choose = choose
        self._comments = 0
        self.secrets: list[str] = []
        self.value = self._with_secrets(value, False)
        self.text = self._gap() + self._written(self.value) + self._gap()

    def __repr__(self) -> str:
        return f"Text({self.text!r})"

    def _with_secrets(self, value: Any, secret: bool, in_map: bool = False) -> Any:
        """in_map: ``value`` is what ``headers`` or ``env`` has."""
        if isinstance(value, dict):
            return {
                key: self._with_secrets(item, secret or in_map or key in _SECRET_KEYS, key in _SECRET_MAPS)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._with_secrets(item, secret or in_map) for item in value]
        if secret and isinstance(value, str) and value not in ("", "${NAME}"):
            self.secrets.append(f"{SECRET}-{len(self.secrets)}-{value}")
            return self.secrets[-1]
        return value

    def _written(self, value: Any) -> str:
        if isinstance(value, dict):
            entries = []
            for key, item in value.items():
                if self._choose.random() < 0.1:
                    entries.append(f"{self._name(key)}{self._gap()}:{self._gap()}{self._written(item)}")
                entries.append(f"{self._name(key)}{self._gap()}:{self._gap()}{self._written(item)}")
            return "{" + self._joined(entries) + "}"
        if isinstance(value, list):
            return "[" + self._joined([self._written(item) for item in value]) + "]"
        if isinstance(value, str):
            return self._quoted(value)
        written = json.dumps(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return self._choose.choice(["", "+"]) + written
        return written

    def _joined(self, entries: list[str]) -> str:
        text = ",".join(self._gap() + entry + self._gap() for entry in entries)
        return (text + self._choose.choice(["", ","]) if entries else "") + self._gap()

    def _name(self, name: str) -> str:
        return name if name.isidentifier() and self._choose.random() < 0.5 else self._quoted(name)

    def _quoted(self, value: str) -> str:
        quote = self._choose.choice("\"'")
        escaped = {quote: f"\\{quote}", "\\": "\\\\", "\n": "\\n", "s": self._choose.choice(["s", "\\x73"])}
        continued = self._choose.choice(["", "", "\\\n"])
        return quote + continued + "".join(escaped.get(sign, sign) for sign in value) + quote

    def _gap(self) -> str:
        text = self._choose.choice(_SPACES)
        if self._choose.random() < 0.2:
            self._comments += 1
            whole = [secret for secret in self.secrets if not {*"\n\u2028"} & {*secret} and "*/" not in secret]
            about = f" c{self._comments}. {self._choose.choice(['', '{', 'a: 1,', *whole])} "
            text += self._choose.choice([f"/*{about}*/", f"/*{about}\n*/", f"//{about}\n"])
            text += self._choose.choice(_SPACES)
        return text


TEXTS = st.builds(Text, OBJECTS, st.randoms(use_true_random=False))
