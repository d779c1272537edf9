"""What can't be begun in the middle: made once into a temporary file, of which any range is read.

A process keeps the last one for the rest of its download, open and without a name: it is gone with
the process, however that ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from hashlib import sha256
from math import inf
from tempfile import TemporaryFile
from weakref import finalize

from ..models import Output
from .pacing import MADE, Deadline

#: Bytes that are read at a time.
READ_BYTES = 256 * 1024


class TooLongError(Exception):
    """More bytes than may be kept in a file."""


class Spooled:
    """A file of these pieces, `size` bytes; LateError if they take too long to make, TooLongError
    if they are more than `most` bytes."""

    def __init__(self, pieces: Iterable[bytes], most: float = inf) -> None:
        self.file = TemporaryFile()  # noqa: SIM115 - closed when this is no more
        finalize(self, self.file.close)
        self.size = 0
        deadline = Deadline(MADE)
        for piece in pieces:
            self.size += self.file.write(piece)
            deadline.check()
            if self.size > most:
                raise TooLongError
        self.file.flush()

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        stop = self.size if stop is None else min(stop, self.size)
        for at in range(start, stop, READ_BYTES):
            yield os.pread(self.file.fileno(), min(READ_BYTES, stop - at), at)

    @cached_property
    def digest(self) -> str:
        """Of its bytes: the same wherever the same are made."""
        found = sha256()
        for piece in self.read():
            found.update(piece)
        return found.hexdigest()


#: The key of the last one, and itself.
_last: tuple[tuple[str, ...], Spooled] | None = None


def spooled(output: Output, name: str, make: Callable[[Output], Iterable[bytes]]) -> Spooled:
    """What a format of this name makes of an output; made unless it is the last one."""
    # The names of columns are not in the bytes.
    key = (name, output.kind, output.digest, str(output.columns))
    return the_last(key, partial(make, output))


def the_last(
    key: tuple[str, ...], make: Callable[[], Iterable[bytes]], most: float = inf
) -> Spooled:
    """What `make` gives, which is the same for the same key; made unless it is the last one."""
    global _last
    last = _last
    if last is not None and last[0] == key:
        return last[1]
    _last = last = None  # room before the next
    found = Spooled(make(), most)
    _last = key, found
    return found
