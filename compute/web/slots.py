"""Lets only a part of the web processes compute inside their requests.

A process that computes answers nothing else meanwhile. The places are files that a process
locks: the kernel takes the lock off when it ends, however that comes about, and needs no
database for it. A site with one web process has one place: then nobody answers beside it.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.core.files import locks

log = logging.getLogger(__name__)

#: Seconds after which to come back.
RETRY_AFTER_S = 5


class AllTaken(Exception):
    """As many web processes as may compute do so."""


def places() -> int:
    return max(1, settings.WEB_CONCURRENCY // 2)


def folder() -> Path:
    """Where this site's files are: of the user that runs it, at its port."""
    site = sha256(f"{settings.BASE_DIR}:{settings.PORT}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sumsite-{os.getuid()}-{site}"


@contextmanager
def a_place() -> Iterator[None]:
    """A place for as long as the block lasts; AllTaken if there is none, at once.

    Where no file can be locked nobody is refused, and the log says why.
    """
    with ExitStack() as stack:
        try:
            taken = any(took(stack, number) for number in range(places()))
        except OSError as error:
            log.warning("computing in requests is not limited: %s", error)
            taken = True
        if not taken:
            raise AllTaken
        yield


def took(stack: ExitStack, number: int) -> bool:
    """Whether this place was free; then it is kept until the stack is left."""
    where = folder()
    where.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(where / f"place-{number}", flags, 0o600)
    stack.callback(os.close, descriptor)
    return locks.lock(descriptor, locks.LOCK_EX | locks.LOCK_NB)
