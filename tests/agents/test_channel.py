"""Events on their way from a run to its reader."""

from __future__ import annotations

import gevent

from app.agents.channel import Channel


def read(channel: Channel[int], count: int) -> list[int | None]:
    return [channel.get(5) for _ in range(count)]


def test_items_come_in_order() -> None:
    """What was put first is read first, whether the reader waited for it or came later."""
    channel: Channel[int] = Channel()
    channel.put(1)
    channel.put(2)
    reader = gevent.spawn(read, channel, 4)
    gevent.sleep(0)
    channel.put(3)
    channel.put(4)
    assert reader.get(timeout=5) == [1, 2, 3, 4]


def test_a_nudge_is_no_item() -> None:
    """A reader that waits returns with nothing, one that has items reads them, and no nudge is remembered twice."""
    channel: Channel[int] = Channel()
    reader = gevent.spawn(channel.get)
    gevent.sleep(0)
    channel.nudge()
    assert reader.get(timeout=5) is None
    channel.nudge()
    channel.put(1)
    assert channel.get(5) == 1
    assert channel.get(0.01) is None


def test_waiting_has_its_end() -> None:
    """After the timeout the reader goes on with nothing, and the next item is not lost."""
    channel: Channel[int] = Channel()
    assert channel.get(0.01) is None
    channel.put(1)
    assert channel.get(0.01) == 1


def test_what_is_there_can_be_taken_at_once() -> None:
    """All items that are there, without waiting for more."""
    channel: Channel[int] = Channel()
    for number in range(3):
        channel.put(number)
    assert list(channel.waiting()) == [0, 1, 2]
    assert list(channel.waiting()) == []


def test_a_reader_that_is_killed_leaves_the_channel_whole() -> None:
    """Its place is free for another reader, who gets what comes."""
    channel: Channel[int] = Channel()
    first = gevent.spawn(channel.get)
    gevent.sleep(0)
    first.kill()
    second = gevent.spawn(read, channel, 1)
    gevent.sleep(0)
    channel.put(1)
    assert second.get(timeout=5) == [1]


def test_readers_of_one_moment_are_all_woken() -> None:
    """A writer that calls for many wakes each of them."""
    channels: list[Channel[int]] = [Channel() for _ in range(50)]
    readers = [gevent.spawn(read, channel, 1) for channel in channels]
    gevent.sleep(0)
    for number, channel in enumerate(channels):
        channel.put(number)
    gevent.joinall(readers, timeout=5)
    assert [reader.value for reader in readers] == [[number] for number in range(50)]
