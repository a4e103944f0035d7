from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from sqlalchemy import Engine

from app.sessions.database import open_database
from app.sessions.journal import Journal
from app.sessions.store import SessionStore


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    with gevent.Timeout(30):
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.sqlite3"


@pytest.fixture
def engine(path: Path) -> Engine:
    return open_database(f"sqlite:///{path}")


@pytest.fixture
def journal(engine: Engine) -> Iterator[Journal]:
    journal = Journal(engine)
    yield journal
    with gevent.Timeout(10):
        journal.close()


@pytest.fixture
def store(engine: Engine) -> Iterator[SessionStore]:
    store = SessionStore(engine)
    yield store
    with gevent.Timeout(10):
        store.close()
