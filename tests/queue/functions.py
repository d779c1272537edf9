"""What these tests queue. A worker finds it by its dotted path, so it stands in a module."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models import F, QuerySet

#: What has run, in order; emptied before each test.
ran: list[Any] = []
#: What `interrupted` does while it runs; set by a test.
interruption: list[Callable[[], Any]] = []


def add(a: int, b: int = 0) -> int:
    ran.append((a, b))
    return a + b


def echo(*args: Any, **kwargs: Any) -> Any:
    """Its arguments, as they arrived."""
    ran.append((args, kwargs))
    return args, kwargs


def give(value: Any) -> Any:
    ran.append(value)
    return value


def power(base: int, exponent: int) -> int:
    return int(base**exponent)


def fail(message: str = "no luck") -> None:
    ran.append(message)
    raise ValueError(message)


def fail_once(message: str = "no luck") -> str:
    ran.append(message)
    if len(ran) == 1:
        raise ValueError(message)
    return "luck"


def leave(code: int) -> None:
    sys.exit(code)


def exceed_its_time() -> None:
    """What happens when the time limit strikes, without the wait for it."""
    signal.raise_signal(signal.SIGALRM)


def interrupted(value: Any = None) -> Any:
    """Meanwhile something happens elsewhere."""
    ran.append(value)
    interruption[0]()
    return value


def users() -> QuerySet[User]:
    return User.objects.order_by("username")


def expression() -> F:
    return F("name")


def unpicklable() -> Any:
    return lambda: None


def picklable_one_way() -> Any:
    return OneWay(1, 2)


def hook(task: Any) -> None:
    ran.append(("hook", task.id, task.success))


def failing_hook(task: Any) -> None:
    ran.append(("hook", task.id, task.success))
    raise ValueError("the hook is broken")


class OneWay(Exception):
    """Can be pickled, as exceptions can, but not read again: it wants two arguments."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("only one")


class Adder:
    """A callable object."""

    def __init__(self, a: int) -> None:
        self.a = a

    def __call__(self, b: int) -> int:
        return add(self.a, b)

    @staticmethod
    def give(value: Any) -> str:
        """Named as a function of this module, to be told apart from it."""
        return f"Adder gives {value}"

    @classmethod
    def make(cls, a: int) -> int:
        return cls(a).a


class Unreadable:
    """An argument that can't be shown."""

    def __repr__(self) -> str:
        raise ValueError("not to be shown")


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def fail_without_words() -> None:
    raise SpeechlessError


def slowly(value: Any, seconds: float) -> Any:
    time.sleep(seconds)
    return value


def kill_its_worker(size: str) -> None:
    """As the kernel ends a process that takes all of the memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang_at_first(note: str) -> str:
    """Ends only when it is run a second time, which it tells by a file."""
    try:
        Path(note).touch(exist_ok=False)
    except FileExistsError:
        return "run again"
    time.sleep(600)
    return "run once"


def stubborn(seconds: float) -> None:
    """Lets no exception end it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                time.sleep(0.01)
        except BaseException:  # noqa: S112
            continue


def size_of(name: str) -> int:
    """Of a file in the folder that the worker's environment names."""
    path = Path(os.environ["FILES"], name)
    if not path.exists():
        raise LookupError(f"there is no file {name!r} yet")
    return path.stat().st_size


def deaf(seconds: float) -> int:
    """One call of C code, for about that long and longer; Python never gets a word in."""
    return sum(range(int(seconds * 10**8)))


class WriteOnly:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def leave_open(how: str) -> str:
    """Write something, and leave its transaction as it should not be left."""
    if how == "autocommit off":
        transaction.set_autocommit(False)
    elif how == "a block":
        transaction.atomic().__enter__()
    else:
        connection.cursor().execute("BEGIN")
    User.objects.create_user("left open")
    if how == "a failed statement":
        with suppress(DatabaseError):
            connection.cursor().execute("SELECT nothing FROM nowhere")
    return how


def exit_at_once(code: int) -> None:
    os._exit(code)


def note(task: Any) -> None:
    """A hook: leaves a user with what it was told."""
    User.objects.create_user(f"{task.name}: {task.success}, {task.result}"[:150])
