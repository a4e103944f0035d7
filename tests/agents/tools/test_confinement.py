from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.agents.tools.confinement import Confinement, Cover
from app.config.settings import Auth, Gateway, TrustedProxyAuth
from app.web import interfaces
from tests.agents.scene import settings

ENVIRONMENT = {"PATH": "/usr/bin:/bin:/opt/tools/bin", "HOME": "/var/lib/gateway"}

ADDRESSES = """\
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.0
           /24 link UNICAST
        |-- 10.0.0.7
           /32 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the addresses 10.0.0.7 and fd00::7, and loopback."""
    (tmp_path / "fib_trie").write_text(ADDRESSES)
    route = "{} {} 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 1 0 {} {}\n"
    routes = (
        ("fd000000000000000000000000000000", 40, "00000001", "eth0"),
        ("fd000000000000000000000000000007", 80, "80200001", "eth0"),
        ("00000000000000000000000000000001", 80, "80200001", "lo"),
    )
    (tmp_path / "ipv6_route").write_text("".join(route.format(*each) for each in routes))
    monkeypatch.setattr(interfaces, "IPV4", tmp_path / "fib_trie")
    monkeypatch.setattr(interfaces, "IPV6", tmp_path / "ipv6_route")


def behind_proxies(*networks: str, allow_loopback: bool = False) -> Confinement:
    auth = Auth("trusted-proxy", trusted_proxy=TrustedProxyAuth("x-user", allow_loopback=allow_loopback))
    return Confinement(gateway=Gateway(auth=auth, trusted_proxies=tuple(map(ip_network, networks))))


# Who can call the gateway.


@pytest.mark.parametrize("mode", ["token", "password"])
def test_a_secret_leaves_no_loophole(mode: str) -> None:
    """Whoever doesn't know it gets nowhere from this machine either."""
    assert Confinement(gateway=Gateway(auth=Auth(mode))).loophole() is None


def test_no_auth_is_a_loophole() -> None:
    """Without auth every process of the machine is an admin."""
    assert Confinement(gateway=Gateway(auth=Auth("none"))).loophole() == "gateway.auth.mode is none"


@pytest.mark.usefixtures("machine")
def test_a_proxy_on_this_machine_is_a_loophole() -> None:
    """Where loopback is taken for the proxy, any process can pretend to be it."""
    assert "allowLoopback" in (behind_proxies("127.0.0.1", allow_loopback=True).loophole() or "")
    assert behind_proxies("127.0.0.1", "10.0.0.8", "fd00::8").loophole() is None


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("network", ["10.0.0.7", "10.0.0.0/8", "fd00::/64"])
def test_a_machine_among_its_own_proxies_is_a_loophole(network: str) -> None:
    """A network of proxies that holds this machine's own address lets its processes in, as containers often do."""
    assert "trustedProxies" in (behind_proxies("192.168.0.1", network).loophole() or "")


def test_a_machine_with_unknown_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system doesn't tell them, the worse is assumed."""
    monkeypatch.setattr(interfaces, "IPV4", tmp_path / "missing")
    assert behind_proxies("10.0.0.8").loophole()


# What is hidden.


def cover(*files: str, workspace: str = "/srv/agents/main") -> Cover:
    return Confinement((Path("/srv/state"),), tuple(map(Path, files))).cover(Path(workspace), ENVIRONMENT)


def test_what_is_in_the_state_folder_is_hidden_with_it() -> None:
    """By default that is everything, and there is nothing to say."""
    assert cover("/srv/state/openclaw.json", "/srv/state/gateway.sqlite3") == Cover((Path("/srv/state"),), ())


def test_files_elsewhere_are_hidden_with_their_folder() -> None:
    """Copies beside them and what replaces them is hidden, too."""
    hidden, exposed = cover("/srv/config/openclaw.json", "/srv/data/gateway.sqlite3", "/srv/data/gateway.sqlite3-wal")
    assert set(hidden) == {Path("/srv/state"), Path("/srv/config"), Path("/srv/data")}
    assert exposed == ()


def test_a_link_is_hidden_on_both_ends(tmp_path: Path) -> None:
    """The folder of the link and the one that it leads to."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "there" / "file").touch()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there" / "file")
    assert {tmp_path / "here", tmp_path / "there"} <= set(cover(str(tmp_path / "here" / "link")).hidden)


def test_copies_of_what_a_link_leads_to_are_hidden(tmp_path: Path) -> None:
    """In a folder that stays open, such as the workspace, they are called as the file is and not as the link."""
    workspace, state = tmp_path / "workspace", tmp_path / "state"
    for folder in (workspace, state):
        folder.mkdir()
    copies = {workspace / name for name in ("file~", "file.bak", ".file.swp")}
    for each in (workspace / "file", *copies):
        each.touch()
    (state / "link").symlink_to(workspace / "file")
    assert copies <= set(cover(str(state / "link"), workspace=str(workspace)).hidden)


@pytest.mark.parametrize(
    "folder", ["/", "/etc", "/home/somebody", "/var/lib/gateway", "/opt/tools", "/srv/agents", "/srv/agents/main"]
)
def test_folders_that_commands_need_stay(folder: str) -> None:
    """A folder of the system, a home, one with programs, the workspace and those around it: only the file is hidden."""
    file = Path(folder, "openclaw.json")
    assert cover(str(file)) == Cover((Path("/srv/state"), file), (Path(folder),))


def test_a_folder_in_the_workspace_is_hidden() -> None:
    """An agent does without it."""
    assert cover("/srv/agents/main/config/openclaw.json").hidden[1:] == (Path("/srv/agents/main/config"),)


def test_a_workspace_in_the_state_folder_covers_nothing() -> None:
    """It is there although the state folder is hidden, so what is in it needs hiding of its own."""
    inside = "/srv/state/workspace/config/openclaw.json"
    found = cover(inside, "/srv/state/other/gateway.sqlite3", workspace="/srv/state/workspace")
    assert found == Cover((Path("/srv/state"), Path(inside).parent), ())


def test_of_a_configuration() -> None:
    """State folder, configuration with what is written beside it, and the database with what SQLite puts there."""
    given = replace(settings(), path=Path("/a/b/c.json"), state_dir=Path("/d"), storage_url="sqlite:////e/f/g.db")
    found = Confinement.of(given)
    assert found.folders == (Path("/d"),)
    written = ("/a/b/c.json", "/a/b/c.json.bak", "/a/b/.c.json.draft")
    assert found.files == tuple(map(Path, (*written, "/e/f/g.db", "/e/f/g.db-wal", "/e/f/g.db-shm")))
    assert found.gateway is given.gateway
    assert Confinement.of(replace(given, storage_url="postgresql://x")).files == tuple(map(Path, written))
