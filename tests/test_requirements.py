"""What the requirements promise: the same packages on every Python that the README names, and no others."""

import re
from collections.abc import Iterator
from importlib.metadata import metadata, requires, version
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.live.gateway import Gateway

ROOT = Path(__file__).resolve().parents[1]
FILES = ("requirements.txt", "requirements-model.txt", "requirements-dev.txt")
# The oldest of all, that of Debian 12, and the first of each later one.
PYTHONS = ("3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0")


def pins(*files: str) -> list[Requirement]:
    lines = (line for file in files for line in (ROOT / file).read_text().splitlines())
    return [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]


@pytest.mark.parametrize("file", FILES)
def test_every_pin_is_exact(file: str) -> None:
    """A line is a name and one version, whatever the machine is."""
    loose = [str(pin) for pin in pins(file) if not re.fullmatch(r"[\w.-]+==[\w.]+", str(pin))]
    assert not loose, ", ".join(loose)


@pytest.mark.parametrize("file", FILES)
def test_the_pins_are_what_is_installed(file: str) -> None:
    """What was tested is what others will get."""
    others = [
        f"{pin}, installed is {version(pin.name)}" for pin in pins(file) if version(pin.name) not in pin.specifier
    ]
    assert not others, ", ".join(others)


def test_the_lock_has_the_hashes_of_what_runs() -> None:
    """What is installed is what the lists say, in the same versions, and each by the hashes of its files."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    locked = [line.split() for line in text.splitlines() if not line.startswith("#")]
    listed = {canonicalize_name(pin.name): str(pin.specifier) for pin in pins(*FILES[:2])}
    assert {canonicalize_name(line[0].partition("==")[0]): line[0].partition("==")[2] for line in locked} == {
        name: version.removeprefix("==") for name, version in listed.items()
    }
    for _, *hashes in locked:
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("file", FILES)
def test_every_pin_accepts_every_python(file: str, python: str) -> None:
    """pip refuses the whole file for one package that asks for a later Python."""
    asked = {str(pin): metadata(pin.name).get("Requires-Python", "") for pin in pins(file)}
    refusals = [
        f"{pin} requires Python {wanted}" for pin, wanted in asked.items() if python not in SpecifierSet(wanted)
    ]
    assert not refusals, ", ".join(refusals)


# Not those of the model, which is installed without what it asks for.
@pytest.mark.parametrize("files", [FILES[:1], (FILES[0], FILES[2])], ids=["run", "test"])
def test_what_the_pins_need_is_pinned(files: tuple[str, ...]) -> None:
    """pip chooses no version by itself, neither here nor on another Python."""
    chosen = {canonicalize_name(pin.name): version(pin.name) for pin in pins(*files)}
    open_ends, seen = [], set()
    waiting = pins(*files)
    while waiting:
        package = waiting.pop()
        for need in needs(package):
            name = canonicalize_name(need.name)
            if name not in chosen or chosen[name] not in need.specifier:
                open_ends.append(f"{package.name} needs {need}")
            elif str(need) not in seen:
                seen.add(str(need))
                waiting.append(need)
    assert not open_ends, ", ".join(open_ends)


def needs(package: Requirement) -> Iterator[Requirement]:
    """What an installed package asks for on any of the Pythons, with the extras that are asked of it."""
    machines = [
        {"python_full_version": python, "python_version": python.rpartition(".")[0], "extra": extra}
        for python in PYTHONS
        for extra in ("", *package.extras)
    ]
    for need in map(Requirement, requires(package.name) or ()):
        if need.marker is None or any(map(need.marker.evaluate, machines)):
            yield need


def test_only_the_model_on_board_needs_its_library(gateway: Gateway) -> None:
    """A gateway of other models runs where libgomp is missing: none of its processes loads it or llama.cpp."""
    master = psutil.Process(gateway.process.pid)
    loaded = {Path(each.path).name for process in (master, *master.children()) for each in process.memory_maps()}
    assert any(name.startswith("libc.") for name in loaded)
    assert not any(name.startswith(("libgomp", "xllamacpp")) for name in loaded)
