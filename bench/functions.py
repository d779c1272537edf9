"""What every system runs: the same plain functions, known to none of them."""

from __future__ import annotations

import os
import socket
import time

from compute.tasks import get_sum_range


def noop() -> bool:
    """Nothing, so that all that is measured is the queue; a result, for some keep no None."""
    return True


def stamp(address: str, number: int) -> int:
    """Tell the socket at `address` at what moment this began."""
    tell(address, f"{number} {time.monotonic()} {os.getpid()}")
    return number


def hold(address: str, seconds: int) -> None:
    """Tell the socket at `address` who runs this, and go on for long."""
    stamp(address, 0)
    time.sleep(seconds)


def pause(seconds: float) -> bool:
    """A chunk that takes its time, and nothing of the machine's."""
    time.sleep(seconds)
    return True


def sum_range(first: int, last: int) -> int:
    return get_sum_range(first, last)


def tell(address: str, message: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), address)


FUNCTIONS = {"noop": noop, "stamp": stamp, "hold": hold, "sum_range": sum_range}
