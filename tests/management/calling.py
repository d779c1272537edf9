"""Commands called as functions, and as the processes that people start."""

from __future__ import annotations

import _thread
import contextlib
import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.core.management import call_command
from django.db import connections

from tests.processes import ROOT, environment


class Printed(NamedTuple):
    out: io.StringIO
    err: io.StringIO


@contextlib.contextmanager
def printed() -> Iterator[Printed]:
    """What a command called here writes to the terminal."""
    streams = Printed(io.StringIO(), io.StringIO())
    with contextlib.redirect_stdout(streams.out), contextlib.redirect_stderr(streams.err):
        yield streams


def call(*arguments: str, **options: Any) -> Printed:
    with printed() as streams:
        call_command(*arguments, **options)
    return streams


@contextlib.contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something while a command waits."""

    def act() -> None:
        try:
            action()
        except BaseException:
            _thread.interrupt_main()  # a command that waits for this would wait for ever
            raise
        finally:
            connections.close_all()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a person calls it, with both streams apart."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )
