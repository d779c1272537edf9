"""`manage.py try_samples`: every computation's sample, called as a worker would; for bin/check."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from django.core.checks import Warning
from django.core.management import CommandError
from django.db import connections

from compute.computation import Computation
from compute.computations import all_computations
from compute.management.terminal import DatabaseCommand
from compute.queue.text import number_of, one_line
from compute.trying import called

#: Seconds that a sample may take; one is meant to take some milliseconds.
LIMIT_S = 10


class Command(DatabaseCommand):
    help = (
        f"Calls the function of every computation with its sample, each in a process of its own "
        f"and for at most {LIMIT_S} s. The exit code is 1 if one does not work."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        failed = 0
        for computation in all_computations().values():
            if computation.sample is not None and (why := trouble_with(computation)):
                failed += 1
                told = Warning(
                    f"The sample of computation {computation.name!r} {why}.",
                    hint="Give it arguments of one call that takes some milliseconds.",
                    id="compute.W009",
                )
                self.stderr.write(str(told))
        if failed:
            raise CommandError(f"{number_of(failed, 'sample')} did not work.")


def trouble_with(computation: Computation, seconds: float = LIMIT_S) -> str | None:
    """How a sample failed; None if it worked."""
    connections.close_all()  # no process may inherit one
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=call_sample, args=(computation, there))
    process.start()
    there.close()
    try:
        if not here.poll(seconds):
            return f"takes over {seconds} s"
        return here.recv() or None
    except EOFError:
        process.join()
        return f"ends its process, with exit code {process.exitcode}"
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended, and all that it started
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        here.close()


def call_sample(
    computation: Computation, there: Connection
) -> None:  # pragma: no cover - runs in a process of its own
    """Say what went wrong, or that nothing did: an empty text."""
    os.setpgid(0, 0)
    arguments, _ = computation.sample or ((), 1)
    try:
        pickle.dumps(called(computation, arguments))
    except BaseException as error:  # whatever the computation may raise
        there.send(f"raises {one_line(error)}")
    else:
        there.send("")
