"""What these tests queue. A worker finds it by its dotted path, so it stands in a module."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
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


def one_by_one(*args: Any) -> Iterator[Any]:
    yield args


async def later_one_by_one(*args: Any) -> AsyncIterator[Any]:
    yield args


def echo(*args: Any, **kwargs: Any) -> Any:
    """Its arguments, as they arrived."""
    ran.append((args, kwargs))
    return args, kwargs


def imported() -> list[str]:
    """What this process has imported."""
    return sorted(sys.modules)


def give(value: Any) -> Any:
    ran.append(value)
    return value


async def add_later(a: int, b: int = 0) -> int:
    await asyncio.sleep(0)
    return add(a, b)


async def fail_later(message: str = "no luck") -> None:
    await asyncio.sleep(0)
    fail(message)


async def wait_for_long(seconds: float = 600) -> None:
    """Beside another that waits, too."""
    await asyncio.gather(asyncio.sleep(seconds), asyncio.sleep(seconds))


def wait_in_threads(seconds: float = 600) -> None:
    """For several others at a time, none of whom a signal interrupts."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(time.sleep, [seconds] * 4))


async def count_users() -> int:
    """By Django, which asks the database in a thread."""
    return await User.objects.acount()


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


def wait_for_file(begun: str, go: str) -> None:
    """Leave a file when it has begun, and end when there is another."""
    Path(begun).touch()
    while not Path(go).exists():
        time.sleep(0.02)


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


def square(number: int) -> int:
    return number * number


def in_a_pool(numbers: list[int]) -> list[int]:
    with multiprocessing.Pool(2) as pool:
        return pool.map(square, numbers)


def in_an_executor(numbers: list[int]) -> list[int]:
    with ProcessPoolExecutor(2) as executor:
        return list(executor.map(square, numbers))


def leave_sleeping(seconds: str, how: str = "", then: str = "return") -> int:
    """Start a process, perhaps in a session of its own, and return, die or wait."""
    subprocess.Popen([*how.split(), "sleep", seconds])
    if then == "die":
        os._exit(3)
    elif then == "wait":
        time.sleep(600)
    return os.getpid()


def fork_and_return() -> int:
    """Comes back twice."""
    return os.fork()


def take_memory(megabytes: int) -> int:
    bytearray(megabytes * 1024 * 1024)
    return os.getpid()


def kill_if(number: int, deadly: bool) -> int:
    if deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def sleep_for(number: int, seconds: float) -> int:
    if seconds:
        time.sleep(seconds)
    return number


def large(size: int) -> bytes:
    """So many bytes, always the same."""
    ran.append(size)
    return Random(size).randbytes(size)  # noqa: S311


def large_and_interrupted(size: int) -> bytes:
    interruption[0]()
    return large(size)


class Box:
    """Holds something large; notes that it is made of a pickle."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __setstate__(self, state: dict[str, Any]) -> None:
        ran.append("made of a pickle")
        self.__dict__ = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self.content == other.content

    def __hash__(self) -> int:
        return 0


def boxed(size: int) -> Box:
    return Box(large(size))


def write_only_and_large(size: int) -> Any:
    return [bytes(size), WriteOnly()]


def note_length(task: Any) -> None:
    """A hook, which gets the result itself."""
    ran.append(("hook", task.success, len(task.result)))


def repeated(size: int) -> bytes:
    """So many bytes, which take no more memory to make than to have."""
    return b"x" * size


def repeated_in_a_box(size: int) -> Box:
    return Box(repeated(size))


def close_files(first: int, last: int) -> int:
    """Descriptors from `first` up to `last`; the worker's process id."""
    os.closerange(first, last)
    return os.getpid()


def replace_output() -> int:
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 1)
    return os.getpid()


def limit_files() -> int:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    return os.getpid()


def open_a_file() -> int:
    """What fails in a process that another task has spoilt."""
    with open(os.devnull, "rb"):
        print("said", flush=True)
    subprocess.run(["true"], check=True)
    return os.getpid()


def kill_guard() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
