"""Names looked up in threads: who waits for whom, for how long, and what is remembered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.monkey
import pytest

from app.web.names import EACH, MOST, Resolver
from tests.providers.scene import until

FAR = 60.0
ADDRESSES = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))]


class NameServer:
    """Stands for the C library. Names that begin with ``slow`` wait until it is well."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.well = threading.Event()

    def look_up(self, host: str, port: Any, *rest: int) -> list[Any]:
        if rest[-1] & socket.AI_NUMERICHOST:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        self.asked.append(host)
        if host.startswith("slow"):
            # Not an event's wait: in a process that gevent has patched, that would need a hub.
            while not self.well.is_set():
                _sleep(0.005)
        if host == "absent":
            raise socket.gaierror(socket.EAI_NONAME, "absent")
        return ADDRESSES


_sleep = gevent.monkey.get_original("time", "sleep")
_start = gevent.monkey.get_original("_thread", "start_new_thread")


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    with gevent.Timeout(20):
        yield server
    server.well.set()


def find(resolver: Resolver, host: str) -> str:
    """The first address, or what went wrong in one word."""
    try:
        return str(resolver.getaddrinfo(host, 443, type=socket.SOCK_STREAM)[0][4][0])
    except socket.gaierror as error:
        return {socket.EAI_AGAIN: "silence", socket.EAI_NONAME: "unknown"}[error.errno or 0]


def test_a_name_that_hangs_holds_up_no_other(names: NameServer) -> None:
    """While hundreds wait for a name, others are found, and an address needs no look-up at all."""
    resolver = Resolver(names.look_up, patience=FAR)
    waiting = [gevent.spawn(find, resolver, "slow") for _ in range(200)]
    until(lambda: "slow" in names.asked)
    assert find(resolver, "quick") == "192.0.2.7"
    assert find(resolver, "127.0.0.1") == "127.0.0.1"
    assert not any(each.ready() for each in waiting)
    names.well.set()
    gevent.joinall(waiting)
    assert {each.value for each in waiting} == {"192.0.2.7"}
    assert names.asked == ["slow", "quick"]


def test_an_address_needs_no_thread(names: NameServer) -> None:
    """With every thread taken, numeric addresses are answered."""
    resolver = Resolver(names.look_up, patience=FAR, threads=1)
    waiting = gevent.spawn(find, resolver, "slow")
    until(lambda: "slow" in names.asked)
    assert [find(resolver, address) for address in ("10.1.2.3", "::1")] == ["10.1.2.3", "::1"]
    names.well.set()
    waiting.join()


def test_who_comes_later_fails_with_the_first(names: NameServer) -> None:
    """The patience is the look-up's: those who ask meanwhile and afterwards are told at once, by no further look-up."""
    resolver = Resolver(names.look_up, patience=0.3, silent=FAR)
    first = gevent.spawn(find, resolver, "slow")
    until(lambda: "slow" in names.asked)
    second = gevent.spawn(find, resolver, "slow")
    gevent.joinall([first, second])
    other = gevent.spawn(int)
    assert [first.value, second.value, find(resolver, "slow")] == ["silence"] * 3
    assert not other.ready(), "it did not wait"
    assert names.asked == ["slow"]


def test_a_hanging_name_is_asked_for_a_few_times_at_once(names: NameServer) -> None:
    """Look-ups that never come back don't pile up, and the first that does makes the name known again."""
    resolver = Resolver(names.look_up, patience=0.02, silent=0.0)
    assert {find(resolver, "slow") for _ in range(10)} == {"silence"}
    assert len(names.asked) == EACH
    names.well.set()
    until(lambda: find(resolver, "slow") == "192.0.2.7")


def test_more_names_than_threads_take_turns(names: NameServer) -> None:
    """A name that no thread is free for is looked up as soon as one is, and silence while none is."""
    resolver = Resolver(names.look_up, patience=0.3, threads=1)
    slow = gevent.spawn(find, resolver, "slow")
    until(lambda: "slow" in names.asked)
    assert find(resolver, "quick") == "silence"
    assert names.asked == ["slow"]
    names.well.set()
    slow.join()
    assert find(resolver, "another") == "192.0.2.7"


def test_answers_are_used_again_for_a_while(names: NameServer) -> None:
    """A name that was found, or is none, is not looked up for the next call, whatever its port."""
    resolver = Resolver(names.look_up)
    assert resolver.getaddrinfo("quick", 80)[0][4] == ("192.0.2.7", 80)
    assert resolver.getaddrinfo("quick", "443")[0][4] == ("192.0.2.7", 443)
    assert [find(resolver, "absent") for _ in range(3)] == ["unknown"] * 3
    assert names.asked.count("absent") == 1
    assert names.asked.count("quick") == 1


def test_what_is_remembered_is_bounded(names: NameServer) -> None:
    """However many names are asked for, a number of them is kept."""
    resolver = Resolver(names.look_up)
    for number in range(MOST + 50):
        find(resolver, f"host-{number}")
    assert len(resolver._names) <= MOST


def test_a_name_that_can_not_be_one(names: NameServer) -> None:
    """An empty label, or one of 64 letters, is an unknown name and no other error."""
    resolver = Resolver()
    assert [find(resolver, host) for host in ("a..b", "x" * 64)] == ["unknown"] * 2


def test_callers_who_leave_leave_nothing(names: NameServer) -> None:
    """A caller that is killed while it waits takes nothing along: the next one gets the answer of the same look-up."""
    resolver = Resolver(names.look_up, patience=FAR)
    caller = gevent.spawn(find, resolver, "slow")
    until(lambda: "slow" in names.asked)
    caller.kill()
    names.well.set()
    assert find(resolver, "slow") == "192.0.2.7"
    assert names.asked == ["slow"]


def test_no_thread_left_is_no_answer_for_a_moment(names: NameServer) -> None:
    """Where the system gives no thread, a name is not found for now; as soon as it gives one again, names are."""
    short = True

    def start(work: Any, arguments: Any) -> None:
        if short:
            raise RuntimeError("can't start new thread")
        _start(work, arguments)

    resolver = Resolver(names.look_up, patience=FAR, threads=2, start_thread=start)
    assert [find(resolver, host) for host in ("a", "b", "c")] == ["silence"] * 3
    short = False
    assert find(resolver, "d") == "192.0.2.7"
