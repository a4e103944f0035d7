"""Answers kept for callers that send a request again, so that it is not done twice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, bindparam, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, StorageUnavailable
from app.sessions.journal import Journal
from app.sessions.tables import answers

# Seconds that an answer is kept, and how many are.
MAX_AGE = 24 * 3600
MOST = 10_000
# Bytes of all of them; the oldest make room.
MOST_BYTES = 1024 * 1024 * 1024


class KeptAnswer(NamedTuple):
    """headers: of the response, those that belong to the answer. body: as it went over the wire."""

    headers: Mapping[str, str]
    body: bytes


class AnswerRecord(NamedTuple):
    """An answer as it is kept; ``key`` and ``request`` are digests, which say nothing of who asked what."""

    key: str
    request: str
    answer: KeptAnswer


class KeyReused(Exception):
    """The key was used for another request."""


class KeyInUse(Exception):
    """The request with this key is being answered."""


_FIND = select(answers).where(answers.c.key == bindparam("wanted"))
_PUT = insert(answers)
_DROP_OLD = delete(answers).where(answers.c.key == bindparam("dropped"), answers.c.created_at <= bindparam("until"))
_EXPIRE = delete(answers).where(answers.c.created_at < bindparam("before"))
_COUNT = select(func.count()).select_from(answers)
_BYTES = select(func.coalesce(func.sum(func.length(answers.c.body)), 0))
_DROP_OLDEST = delete(answers).where(
    answers.c.key.in_(select(answers.c.key).order_by(answers.c.created_at).limit(bindparam("surplus")))
)


def write(connection: Connection, record: AnswerRecord) -> None:
    """Keep an answer, in the transaction of whatever it tells of. Raises Conflict where its key has one already."""
    now = time.time()
    row = {
        "key": record.key,
        "request": record.request,
        "headers": orjson.dumps(record.answer.headers),
        "body": record.answer.body,
        "created_at": now,
    }
    connection.execute(_DROP_OLD, {"dropped": record.key, "until": now - MAX_AGE})
    try:
        connection.execute(_PUT, row)
    except IntegrityError:
        # Another process was faster, as at a reload: what was done here for the same request must not stay beside it.
        raise Conflict(
            "the request with this Idempotency-Key was answered meanwhile; send it again to get that answer",
            code="idempotency_key_in_use",
            headers={"Retry-After": "1"},
        ) from None
    count = connection.execute(_COUNT).scalar_one()
    if count > MOST:
        connection.execute(_DROP_OLDEST, {"surplus": count - MOST})
    while connection.execute(_BYTES).scalar_one() > MOST_BYTES:
        connection.execute(_DROP_OLDEST, {"surplus": max(count // 10, 1)})


class Claim:
    """The right to answer the request with this key.

    ``keep``, or ``free`` once a ``record`` is stored with its turn, is owed; the second of them does nothing.
    """

    def __init__(self, store: AnswerStore, key: str, request: str) -> None:
        self._store = store
        self._key = key
        self.request = request

    def record(self, answer: KeptAnswer) -> AnswerRecord:
        """What is to be stored of the answer. The request may not be claimed anew before it is, or never will be."""
        return AnswerRecord(self._key, self.request, answer)

    def keep(self, answer: KeptAnswer) -> None:
        """On disk once this returns; the request sent again gets the same."""
        try:
            self._store.keep(self.record(answer))
        finally:
            self.free()

    def free(self) -> None:
        """The request was not answered: it may be sent again."""
        # Late, the key may be another claim's.
        if self._store._claims.get(self._key) is self:
            del self._store._claims[self._key]


class AnswerStore:
    """By key, each with the request that it answers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._claims: dict[str, Claim] = {}

    def claim(self, key: str, request: str, *, must_know: bool = True) -> Claim | KeptAnswer:
        """The kept answer to this request, or the claim to make it.

        must_know: raise StorageUnavailable where that can't be found out, or the answer not be kept, instead of taking
        it for new. Raises KeyReused, KeyInUse.
        """
        self._check_claims(key, request)
        row: Any = None
        try:
            row = self._journal.read(lambda connection: connection.execute(_FIND, {"wanted": key}).first())
        except StorageUnavailable:
            if must_know:
                raise
        if row is not None and row.created_at > time.time() - MAX_AGE:
            if row.request != request:
                raise KeyReused
            return KeptAnswer(orjson.loads(row.headers), row.body)
        if must_know:
            self._journal.check()
        # Another request may have come while the database was read.
        self._check_claims(key, request)
        claimed = self._claims[key] = Claim(self, key, request)
        return claimed

    def keep(self, record: AnswerRecord) -> None:
        """On disk once this returns."""
        self._journal.run(lambda connection: write(connection, record))

    def expire(self) -> None:
        """Forget what is too old to be given out."""
        before = time.time() - MAX_AGE
        self._journal.run(lambda connection: connection.execute(_EXPIRE, {"before": before}).rowcount)

    def _check_claims(self, key: str, request: str) -> None:
        claimed = self._claims.get(key)
        if claimed is not None:
            raise KeyInUse if claimed.request == request else KeyReused
