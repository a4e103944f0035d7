from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields

from app.config import ConfigError, load, read_environment
from app.config.schemas import CONFIG
from tests.config.conftest import TOKEN, Place

Path_ = tuple[str, ...]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["${OPENCLAW_GATEWAY_TOKEN}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text() | st.sampled_from(["id", "source", "default", "_schema", "value", "key"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def known_paths(field: Schema | fields.Field[Any] | None, path: Path_ = ()) -> Iterator[Path_]:
    yield path
    if isinstance(field, fields.Nested):
        field = field.schema
    if isinstance(field, Schema):
        for inner in field.fields.values():
            yield from known_paths(inner, (*path, str(inner.data_key)))
    elif isinstance(field, fields.List):
        yield from known_paths(field.inner, (*path, "[]"))
    elif isinstance(field, fields.Dict):
        yield from known_paths(field.value_field, (*path, "*"))


def put(path: Path_, value: Any, name: str) -> Any:
    for key in reversed(path):
        value = [value] if key == "[]" else {name if key == "*" else key: value}
    return value


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(known_paths(CONFIG))), JSON, st.text(min_size=1), st.booleans())
def test_any_value_anywhere(tmp_path_factory: Any, path: Path_, value: Any, name: str, misplaced: bool) -> None:
    """Whatever stands at a key, the outcome is settings or a ConfigError of whole lines, and no secret shows."""
    place = Place(_folder(tmp_path_factory))
    document = put(path, [TOKEN] if misplaced and path[-1:] == ("token",) else value, name)
    for line in place.outcome(document, OPENCLAW_GATEWAY_TOKEN=TOKEN):
        assert TOKEN not in line
        assert line.splitlines() == [line]


@settings(max_examples=300, deadline=None)
@given(st.text() | st.binary())
def test_any_file(tmp_path_factory: Any, content: str | bytes) -> None:
    """Whatever bytes the file holds, the outcome is settings or a ConfigError."""
    place = Place(_folder(tmp_path_factory))
    place.file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with suppress(ConfigError):
        load(place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN))


@given(st.dictionaries(st.sampled_from(["OPENCLAW_GATEWAY_PORT", "WEB_CONCURRENCY", "OPENCLAW_STATE_DIR"]), st.text()))
def test_any_environment(variables: dict[str, str]) -> None:
    """Whatever the variables hold, reading them raises nothing."""
    read_environment(variables)


def _folder(factory: Any) -> Path:
    base: Path = factory.getbasetemp() / "any"
    base.mkdir(exist_ok=True)
    return base
