"""How long a reply may take. gunicorn's sync workers are killed over one that takes longer than
WEB_TIMEOUT; so it is broken off before, and a slow line asks for the rest."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator

from django.conf import settings

#: Bytes that are sent at a time: even a slow line takes them soon.
PIECE_BYTES = 64 * 1024
#: The share of WEB_TIMEOUT after which a reply is broken off: soon, where a client can ask for the
#: rest, for what the system has taken in still goes out; late, where it has to ask for all again.
RESUMED, MADE = 0.6, 0.9


class LateError(BrokenPipeError):
    """A reply that takes too long. To break it off costs a client the rest, and to be killed costs
    the site a process."""


class Deadline:
    """After a share of WEB_TIMEOUT since the request began, or since now; none if that is 0."""

    def __init__(self, share: float, since: float | None = None) -> None:
        begun = time.monotonic() if since is None else since
        self.until = begun + share * settings.WEB_TIMEOUT

    def check(self) -> None:
        if settings.WEB_TIMEOUT and time.monotonic() > self.until:
            raise LateError(errno.EPIPE, "it takes too long")


def in_time(
    pieces: Iterable[bytes], share: float = MADE, since: float | None = None
) -> Iterator[bytes]:
    """Small pieces, and none after a deadline."""
    deadline = Deadline(share, since)
    try:
        for piece in pieces:
            for at in range(0, len(piece), PIECE_BYTES):
                deadline.check()
                yield piece[at : at + PIECE_BYTES]
    except LookupError as error:  # its run has been removed
        raise BrokenPipeError(errno.EPIPE, str(error)) from error
