"""What can't be begun in the middle: made once into a temporary file, of which any range is read.

A process keeps the last one for the rest of its download, open and without a name: it is gone with
the process, however that ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from tempfile import TemporaryFile
from weakref import finalize

from ..models import Output
from .pacing import MADE, Deadline

#: Bytes that are read at a time.
READ_BYTES = 256 * 1024


class Spooled:
    """A file of these pieces, `size` bytes; LateError if they take too long to make."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.file = TemporaryFile()  # noqa: SIM115 - closed when this is no more
        finalize(self, self.file.close)
        self.size = 0
        deadline = Deadline(MADE)
        for piece in pieces:
            self.size += self.file.write(piece)
            deadline.check()
        self.file.flush()

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        stop = self.size if stop is None else min(stop, self.size)
        for at in range(start, stop, READ_BYTES):
            yield os.pread(self.file.fileno(), min(READ_BYTES, stop - at), at)


#: What the last one was made of, and itself.
_last: tuple[tuple[str, ...], Spooled] | None = None


def spooled(output: Output, name: str, make: Callable[[Output], Iterable[bytes]]) -> Spooled:
    """What a format of this name makes of an output; made unless it is the last one."""
    global _last
    # The names of columns are not in the bytes.
    key = (name, output.kind, output.digest, str(output.columns))
    last = _last
    if last is not None and last[0] == key:
        return last[1]
    _last = last = None  # room before the next
    found = Spooled(make(output))
    _last = key, found
    return found
