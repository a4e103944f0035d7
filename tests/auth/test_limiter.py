import pytest

from app.auth import AttemptLimiter
from app.config.settings import RateLimit
from app.errors import TooManyAttempts

from .scene import Clock

POLICY = RateLimit(max_attempts=3, window_ms=60_000, lockout_ms=300_000)


def locked(limiter, address):
    try:
        limiter.check(address)
    except TooManyAttempts:
        return True
    return False


def fail(limiter, address, times=1):
    for _ in range(times):
        limiter.failed(address, POLICY)


def test_lock_after_the_allowed_failures():
    """The last allowed failure locks the address, and Retry-After says for how long."""
    clock = Clock()
    limiter = AttemptLimiter(clock=clock)
    fail(limiter, "10.0.0.1", 2)
    assert not locked(limiter, "10.0.0.1")
    fail(limiter, "10.0.0.1")
    clock.now += 0.5
    with pytest.raises(TooManyAttempts) as raised:
        limiter.check("10.0.0.1")
    assert raised.value.headers == {"Retry-After": "300"}
    assert not locked(limiter, "10.0.0.2")


def test_lock_ends():
    """After the lockout the address starts again with no failures."""
    clock = Clock()
    limiter = AttemptLimiter(clock=clock)
    fail(limiter, "10.0.0.1", 3)
    clock.now += 299.9
    assert locked(limiter, "10.0.0.1")
    clock.now += 0.1
    assert not locked(limiter, "10.0.0.1")
    fail(limiter, "10.0.0.1", 2)
    assert not locked(limiter, "10.0.0.1")


def test_window_slides():
    """Only failures of the last window count, wherever the window begins."""
    clock = Clock()
    limiter = AttemptLimiter(clock=clock)
    for seconds in (0, 40, 40, 40, 40):
        clock.now += seconds
        fail(limiter, "10.0.0.1")
        assert not locked(limiter, "10.0.0.1")
    clock.now += 10
    fail(limiter, "10.0.0.1")
    assert locked(limiter, "10.0.0.1")


def test_success_resets():
    """A right secret forgets the wrong ones before it."""
    limiter = AttemptLimiter(clock=Clock())
    fail(limiter, "10.0.0.1", 2)
    limiter.succeeded("10.0.0.1")
    fail(limiter, "10.0.0.1", 2)
    assert not locked(limiter, "10.0.0.1")


def test_ipv6_counts_by_64():
    """All addresses of one IPv6 /64 are one caller, the next /64 is another."""
    limiter = AttemptLimiter(clock=Clock())
    for address in ("2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::3"):
        fail(limiter, address)
    assert locked(limiter, "2001:db8:0:1:abcd::9")
    assert not locked(limiter, "2001:db8:0:2::1")


def test_memory_is_bounded():
    """However many addresses fail, at most the capacity is kept."""
    limiter = AttemptLimiter(clock=Clock(), capacity=100)
    for number in range(1000):
        fail(limiter, f"10.0.{number >> 8}.{number & 255}", 1 + number % 3)
    assert len(limiter) <= 200


def test_flood_frees_nobody():
    """A flood of other addresses doesn't free a locked one."""
    limiter = AttemptLimiter(clock=Clock(), capacity=100)
    fail(limiter, "192.0.2.1", 3)
    for number in range(1000):
        fail(limiter, f"10.0.{number >> 8}.{number & 255}", 2)
    assert locked(limiter, "192.0.2.1")


def test_lock_is_logged_once(caplog):
    """A lock leaves one log line with the address."""
    fail(AttemptLimiter(clock=Clock()), "10.0.0.1", 3)
    assert [record.getMessage() for record in caplog.records] == ["10.0.0.1 is locked for 300 s after 3 wrong secrets"]
