"""One run of measures: the servers it needs, its rounds, and sessions of the systems."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from bench import system, systems
from bench.figures import QUIET

#: Seconds after which a session has failed.
PATIENCE = 300
#: Seconds that one has to end, and then to stop its nodes.
END_S = 30


class Bench(NamedTuple):
    """What a measure's `run` gets."""

    postgres: Any
    quick: bool
    rounds: int
    #: Of these, how many the systems get that no target speaks of.
    rounds_of_others: int
    names: Sequence[str]
    #: How long a scenario of `fair` is watched; None for as long as its targets say.
    seconds: int | None
    #: How long, at most, a round waits for a quiet machine; 0 for a machine that is busy anyway.
    wait_s: float
    #: The load before each round of this measure.
    loads: list[float]

    def choose(self, options: dict[str, Any], quick: dict[str, Any]) -> dict[str, Any]:
        return quick if self.quick else options

    def mine(self, names: Sequence[str]) -> list[str]:
        """Those that this run was asked for."""
        return [name for name in names if name in self.names]

    def turns(self) -> Iterator[int]:
        """The number of each round, once the machine is quiet or the waiting is over."""
        for number in range(self.rounds):
            self.loads.append(rest(self.wait_s))
            yield number

    def interleave(
        self, one: Callable[[str, int], dict[str, Any]], names: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """What `one(name, round)` says of each system, round by round, by name.

        Each round has them in another order, those of the targets beside each other: what
        they share of the machine's moods is then the most that they can share.
        """
        rounds = []
        for number in self.turns():
            order = self.mine(systems.CONTENDERS if names is None else names)
            if names is None and number < self.rounds_of_others:
                order += [name for name in self.names if name not in systems.CONTENDERS]
            turn = number % len(order) if order else 0
            rounds.append({name: one(name, number) for name in order[turn:] + order[:turn]})
        return rounds

    def session(
        self, name: str, measure: str, options: dict[str, Any], patience_s: float = PATIENCE
    ) -> dict[str, Any]:
        """What a measure found of a system, asked once."""
        began = time.monotonic()
        with self.open(name, measure) as session:
            found = session.ask(options, patience_s)
        say(f"{measure}: {systems.label(name)}: {time.monotonic() - began:.1f} s")
        return found

    @contextlib.contextmanager
    def open(self, name: str, measure: str) -> Iterator[Session]:
        """A session that can be asked several times; its nodes are running in between."""
        with (
            system.place(systems.needs(name), self.postgres) as place,
            open(f"{place.folder}/session.log", "w+b") as log,
        ):
            process = subprocess.Popen(
                system.python("-m", "bench.session", name, measure),
                cwd=system.ROOT,
                env={**os.environ, **place.environment, "PYTHONPATH": str(system.ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                yield Session(process)
            finally:
                end(process)
                if process.returncode or os.environ.get("BENCH_LOGS"):
                    log.seek(0)
                    print(log.read().decode(errors="replace"), file=sys.stderr)


class Session:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdin
        assert process.stdout
        self.questions, self.answers = process.stdin, process.stdout

    def ask(self, options: dict[str, Any], patience_s: float = PATIENCE) -> dict[str, Any]:
        """What was found, or {"error": …}: a system that does not run here is told of,
        not left out."""
        try:
            print(json.dumps(options), file=self.questions, flush=True)
        except BrokenPipeError:
            return {"error": "it has ended after an earlier error"}
        if not select.select([self.answers], [], [], patience_s)[0]:
            self.process.terminate()
            return {"error": f"no answer within {patience_s:g} s"}
        answer = self.answers.readline()
        found: dict[str, Any] = json.loads(answer) if answer else {"error": "it ended unheard"}
        if "error" in found:
            say(f"error: {found['error']}")
        return found


def end(process: subprocess.Popen[str], patience_s: float = END_S) -> None:
    """End a session. The end of its input is its end; one that is at work for longer is told by a
    signal, on which it stops its nodes, too. To kill it at once would leave them behind."""
    try:
        process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def rest(wait_s: float, load: Callable[[], float] = lambda: os.getloadavg()[0]) -> float:
    """The load, to a hundredth, once it is low, or after so many seconds of waiting for that; both
    are said."""
    until = time.monotonic() + wait_s
    now = round(load(), 2)
    if wait_s and now >= QUIET:
        say(f"waiting until the load is under {QUIET}, up to {wait_s:.0f} s; it is {now:.2f}")
        while now >= QUIET and time.monotonic() < until:
            time.sleep(min(2, wait_s))
            now = round(load(), 2)
        if now >= QUIET:
            say(f"the load is still {now:.2f}: this round decides nothing")
    return now


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
