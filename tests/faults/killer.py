"""When and how the gateway is killed, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.faults.turns import KINDS, Asked, Unanswered, answer_to
from tests.live.gateway import Gateway, config_for, wait_until
from tests.scripted import Received, Reply, ScriptedProvider

# Turns that are under way at once, in how many sessions.
TURNS, SESSIONS = 10, 4
# Seconds.
SHORT, MOMENT, PATIENCE = 0.02, 0.25, 5.0


class Killer:
    """Rounds of turns, each of them ended by a kill. found: what went wrong, by kind of fault; counts: all else."""

    def __init__(self, state_dir: Path, provider: ScriptedProvider, seed: int) -> None:
        self._random = random.Random(seed)
        self._provider = provider
        self._state_dir = state_dir
        self._config = config_for(provider.base_url)
        self._rounds = 0
        self.gateway = Gateway(state_dir, self._config)
        self.found: dict[str, list[str]] = {}
        self.counts: Counter[str] = Counter()

    def round(self) -> None:
        """Turns that are cut by a kill, sent again, and looked at."""
        self._rounds += 1
        turns = [self._turn(number) for number in range(TURNS)]
        self._provider.reset()
        self._provider.on(_answers(self._random.random() < 0.5))
        place = self._random.choice([self._anywhere, self._behind_the_last_byte, self._behind_a_commit])
        with ThreadPoolExecutor(TURNS) as pool:
            wait = place()
            first = [pool.submit(self._ask, turn) for turn in turns]
            wait()
            self._kill()
            for each in first:
                each.result()
            acknowledged = [turn for turn in turns if turn.answer is not None]
            self.counts[f"killed {place.__name__.strip('_').replace('_', ' ')}"] += 1
            self.counts["turns"] += TURNS
            self.counts["acknowledged before the kill"] += len(acknowledged)
            # Twice: what has its answer by now has the same one again.
            for _ in range(2):
                for each in [pool.submit(self._repeat, turn) for turn in turns if turn.repeatable]:
                    each.result()
        self._check(turns)

    def close(self) -> None:
        self.gateway.stop()

    # What happens in a round.

    def _turn(self, number: int) -> Asked:
        session = f"r{self._rounds}-{self._random.randrange(SESSIONS)}"
        return Asked(self._random.choice(KINDS), session, f"t{self._rounds}.{number}.")

    def _ask(self, turn: Asked) -> None:
        try:
            turn.ask(self.gateway)
        except Unanswered:
            self.counts["cut"] += 1

    def _repeat(self, turn: Asked) -> None:
        """Until it is answered: one that is still under way says so."""
        deadline = time.monotonic() + 4 * PATIENCE
        while True:
            try:
                turn.ask(self.gateway)
            except Unanswered as error:
                if time.monotonic() > deadline:
                    turn.faults.append(f"never answered: {error}")
                    return
                time.sleep(SHORT)
            else:
                self.counts["repeated"] += 1
                return

    def _kill(self) -> None:
        """The worker alone, which its master replaces, or both."""
        if self._random.random() < 0.7:
            booted = self._workers()
            os.kill(booted[-1], signal.SIGKILL)
            wait_until(lambda: len(self._workers()) > len(booted), "another worker starts")
            self.gateway.wait_until_up()
            self.counts["workers killed"] += 1
        else:
            self.gateway.kill()
            self.gateway = Gateway(self._state_dir, self._config)
            self.gateway.wait_until_up()
            self.counts["whole gateways killed"] += 1

    def _workers(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.gateway.log)]

    # When it is killed. Each returns what waits for the moment; it is called before the turns begin.

    def _anywhere(self) -> Callable[[], None]:
        seconds = self._random.uniform(0, MOMENT)
        return lambda: time.sleep(seconds)

    def _behind_the_last_byte(self) -> Callable[[], None]:
        """Of the answer to one of the turns: what follows is its commit, and what is done behind it."""
        finished, seconds = self._random.randint(1, TURNS), self._random.uniform(0, SHORT)

        def wait() -> None:
            _wait(lambda: sum(each.finished.is_set() for each in self._provider.requests) >= finished)
            time.sleep(seconds)

        return wait

    def _behind_a_commit(self) -> Callable[[], None]:
        """The moment at which the database's log changes."""
        log, commits = self._state_dir / "gateway.sqlite3-wal", self._random.randint(1, TURNS // 2)

        def state() -> tuple[int, int]:
            found = log.stat()
            return found.st_mtime_ns, found.st_size

        seen = {state()}

        def wait() -> None:
            for _ in range(commits):
                _wait(lambda: state() not in seen)
                seen.add(state())

        return wait

    # What must hold.

    def _check(self, turns: list[Asked]) -> None:
        stored: Counter[str] = Counter()
        with closing(sqlite3.connect(f"file:{self._state_dir}/gateway.sqlite3?mode=ro", uri=True)) as database:
            if (verdict := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                self._fault("damaged", verdict)
            rows = database.execute(
                "SELECT status, (SELECT json_group_array(CAST(body AS TEXT)) FROM (SELECT body FROM messages"
                " WHERE turn = turns.id ORDER BY position)) FROM turns JOIN sessions ON sessions.id = turns.session"
                " WHERE sessions.key LIKE ?",
                (f"%:r{self._rounds}-%",),
            ).fetchall()
        for status, bodies in rows:
            said = [json.loads(body) for body in json.loads(bodies)]
            text = said[0]["content"] if said else ""
            stored[text] += 1
            whole = [{"role": "user", "content": text}, {"role": "assistant", "content": answer_to(text)}]
            if status != "done" or said != whole:
                self._fault("half", f"{status} {said}")
        for turn in turns:
            for fault in turn.faults:
                self._fault("answered wrongly", f"{turn.kind} {turn.text} {fault}")
            if stored[turn.text] > 1:
                self._fault("doubled", f"{turn.kind} {turn.text} is there {stored[turn.text]} times")
            if stored[turn.text] == 0 and turn.stored and turn.answer is not None:
                self._fault("lost", f"{turn.kind} {turn.text}")

    def _fault(self, kind: str, what: str) -> None:
        self.found.setdefault(kind, []).append(f"round {self._rounds}: {what}")


def _answers(slowly: bool) -> Callable[[Received], Reply]:
    def answer(received: Received) -> Reply:
        words = answer_to(received.body["messages"][-1]["content"]).split(" ")
        return Reply(words[0], *(f" {word}" for word in words[1:]), delay=0.01 if slowly else 0.0)

    return answer


def _wait(condition: Callable[[], bool]) -> None:
    """As exactly as can be, but not for ever: the moment may not come."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.0001)
