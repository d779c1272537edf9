"""Results that are too large for their rows: a job, and django-q2's record, have a reference.

The reference is a pickle like any other result. To read it is to read the content, as a stream, so
whatever unpickles a row gets the result itself: `result()`, `results()`, hooks, chains, groups.
What a reference names, `restored`, stays importable for as long as there may be rows with one.
"""

from __future__ import annotations

import io
import pickle
import shutil
from base64 import b64decode, b64encode
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from picklefield.fields import PickledObject

from . import room
from .away import persistently
from .contents import PART_BYTES, Content, Reader, Writer
from .text import shorten

#: Characters of a stored result at most; of a longer one its rows have a reference.
SHORT_CHARS = 64 * 1024
#: Bytes of its pickle, which base64 makes longer by a third.
SHORT_BYTES = SHORT_CHARS // 4 * 3
#: Characters of a stored reference at most.
REFERENCE_CHARS = 1024
#: Characters of a type's name in it.
KIND_CHARS = 100


class Reference(NamedTuple):
    """What stands in a row for a large result."""

    #: The id of the content, which is the result's pickle.
    content: str
    #: Bytes of that.
    size: int
    #: The result's type.
    kind: str

    def __reduce__(self) -> Any:
        return restored, tuple(self)

    def __str__(self) -> str:
        return f"{self.kind} of {self.size:,} bytes"

    def stored(self) -> PickledObject:
        """As its rows keep it."""
        return encoded(pickle.dumps(self, protocol=pickle.HIGHEST_PROTOCOL))


def restored(content: str, *about: Any) -> Any:
    """The result of a content; LookupError if that was removed."""
    complete = Content.objects.filter(pk=content).exclude(digest="")
    found = persistently(complete.first)
    if found is None:
        raise LookupError("the result has been removed")
    with io.BufferedReader(Reader(found), SHORT_BYTES) as file:
        return pickle.load(file)


class Plain(pickle.Unpickler):
    """Reads a reference as what it is; of anything else that is no plain data it makes nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (restored.__module__, restored.__name__):
            return Reference
        raise pickle.UnpicklingError(f"{module}.{name} is no plain data")


def plain(stored: str) -> Any:
    """What a row keeps, if it is plain data or a reference: no class's code runs, and no content
    is read. Raises whatever a pickle may if it is not."""
    return Plain(io.BytesIO(b64decode(stored))).load()


def reference_in(stored: str | None) -> Reference | None:
    """The reference that a row keeps, if it does."""
    if stored is None or len(stored) > REFERENCE_CHARS:
        return None
    try:
        found = plain(stored)
    except Exception:  # whatever is no plain data, or no pickle
        return None
    return found if isinstance(found, Reference) else None


class Aside:
    """A result's pickle, which waits for its place: a short one in memory, a longer one in a file
    without a name, so that the worker holds its result once.

    No part is written to the database yet: that would happen within the task's time limit, and
    maybe in a transaction that the task has left open.
    """

    def __init__(self, kind: type) -> None:
        #: The result's.
        self.kind = kind
        self.size = 0
        self.file: IO[bytes] = io.BytesIO()

    @property
    def is_short(self) -> bool:
        return self.size <= SHORT_BYTES

    def write(self, data: Any) -> None:
        self.size += memoryview(data).nbytes
        if self.size > SHORT_BYTES:
            room.check_size(self.size, room.most_bytes())
            if isinstance(self.file, io.BytesIO):
                short, self.file = self.file, TemporaryFile()  # noqa: SIM115 - its owner closes it
                self.file.write(short.getvalue())
        self.file.write(data)

    def read(self) -> Any:
        """Make the result of it once more."""
        self.file.seek(0)
        return pickle.load(self.file)

    def short(self) -> PickledObject:
        """A short one, as its rows keep it."""
        self.file.seek(0)
        return encoded(self.file.read())

    def keep(self, holder: str) -> Reference:
        """Write a longer one as a content of this task."""
        self.file.seek(0)
        with self.file, Writer(holder) as writer:
            shutil.copyfileobj(self.file, writer, PART_BYTES)
            return Reference(writer.done().pk, self.size, name_of(self.kind))

    def close(self) -> None:
        self.file.close()


class Pickler(pickle.Pickler):
    """Notes whether all that it writes is plain data, which can be read again for certain."""

    is_plain = True

    def reducer_override(self, thing: Any) -> Any:
        """Asked about all but numbers, texts, bytes, None, and lists, tuples, sets and dicts."""
        self.is_plain = False
        return NotImplemented


def put_aside(result: Any) -> Aside:
    """A result's pickle, tested that it can be read again.

    To test it is to make the result a second time, for that moment; plain data needs no test.
    TooLargeError over MAX_RESULT_MB, and whatever pickling and reading may raise.
    """
    aside = Aside(type(result))
    try:
        pickler = Pickler(aside, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.dump(result)
        if not pickler.is_plain:
            aside.read()
    except BaseException:  # a time limit, too
        aside.close()
        raise
    return aside


def encoded(pickled: bytes) -> PickledObject:
    return PickledObject(b64encode(pickled).decode())


def name_of(kind: type) -> str:
    return shorten(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."), KIND_CHARS)
