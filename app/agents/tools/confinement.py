"""What commands of agents must not reach: the gateway's own files, and in some auth modes the gateway itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from glob import escape
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import NamedTuple

from app.config.settings import Gateway, Settings, own_files
from app.web import interfaces

# Parts of a path such as ``/etc/gateway``, which is one service's own; ``/etc`` is everybody's.
_OWN_DEPTH = 3
_HOMES = Path("/home")


class Cover(NamedTuple):
    """hidden: files and folders. exposed: folders that commands need, so that of them only the secret files are."""

    hidden: tuple[Path, ...]
    exposed: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Confinement:
    """folders: hidden as a whole. files: hidden with the folder that each is in. gateway: how callers are let in."""

    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    gateway: Gateway = Gateway()

    @classmethod
    def of(cls, settings: Settings) -> Confinement:
        files = (*own_files(settings.path, settings.storage_url), *settings.files)
        return cls(settings.private_dirs, tuple(dict.fromkeys(files)), settings.gateway)

    def cover(self, workspace: Path, environment: Mapping[str, str]) -> Cover:
        """What to hide from commands with this workspace and environment. Asks the disk, so call it in a thread.

        The folders too, as a file that is saved is often another one of the same name, with copies beside it.
        """
        workspace = workspace.resolve()
        needed = [workspace, *(path.resolve() for path in _needed(environment))]
        hidden = [folder.resolve() for folder in self.folders]
        exposed = []
        for file in self.files:
            # Where a link stands, too: it may be replaced by a file.
            real = file.resolve()
            for folder, name in sorted({(real.parent, real.name), (file.parent.resolve(), file.name)}):
                if _is_covered(folder, hidden, workspace):
                    continue
                if _is_shared(folder) or any(path.is_relative_to(folder) for path in needed):
                    hidden += [file, *_copies(folder, name)]
                    exposed.append(folder)
                else:
                    hidden.append(folder)
        return Cover(tuple(hidden), tuple(dict.fromkeys(exposed)))

    def loophole(self) -> str | None:
        """Why a process of this machine can call the gateway as whoever it likes; ``None`` when it can't.

        Asks the system, so call it in a thread.
        """
        auth = self.gateway.auth
        if auth.mode == "none":
            return "gateway.auth.mode is none"
        if auth.mode != "trusted-proxy":
            return None
        if auth.trusted_proxy and auth.trusted_proxy.allow_loopback:
            return "gateway.auth.trustedProxy.allowLoopback is on"
        if not interfaces.is_known():
            return "the addresses of this machine are not known"
        # Loopback has a setting of its own.
        own = [local for local in interfaces.local_networks() if not local.is_loopback]
        if any(_overlap(proxies, local) for proxies in self.gateway.trusted_proxies for local in own):
            return "gateway.trustedProxies holds an address of this machine"
        return None


def _copies(folder: Path, name: str) -> Iterator[Path]:
    """What editors and the gateway itself leave beside a file that they save."""
    name = escape(name)
    for pattern in (f"{name}~", f"{name}.bak*", f"{name}.orig", f".{name}.*"):
        yield from folder.glob(pattern)


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def _is_covered(folder: Path, hidden: Iterable[Path], workspace: Path) -> bool:
    """Whether it disappears in a hidden one, in which nothing but a workspace does not."""
    stays = folder.is_relative_to(workspace)
    return any(folder.is_relative_to(other) and not (stays and workspace.is_relative_to(other)) for other in hidden)


def _is_shared(folder: Path) -> bool:
    """Whether it is a home, or a folder such as ``/etc``, in which more than one service keeps its things."""
    return len(folder.parts) < _OWN_DEPTH or folder.parent == _HOMES


def _needed(environment: Mapping[str, str]) -> Iterator[Path]:
    yield from (Path(folder) for folder in environment["PATH"].split(":") if folder)
    if home := environment.get("HOME"):
        yield Path(home)
