"""What an `async def` comes to, and what it leaves behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from compute.queue.coroutines import awaited
from tests.queue import functions


def test_what_is_no_coroutine_is_as_it_is() -> None:
    assert awaited(5) == 5
    assert awaited([functions.add]) == [functions.add]


def test_a_coroutine_is_awaited() -> None:
    assert awaited(functions.add_later(1, 2)) == 3


def test_its_error_is_passed_on_with_its_traceback() -> None:
    with pytest.raises(ValueError, match="no luck") as caught:
        awaited(functions.fail_later())
    assert caught.traceback[-2].name == "fail_later"


def test_what_it_has_begun_beside_is_cancelled() -> None:
    ended = []

    async def beside() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("cancelled")

    async def main() -> str:
        task = asyncio.create_task(beside())
        await asyncio.sleep(0)
        return "done" if not task.done() else "too soon"

    assert awaited(main()) == "done"
    assert ended == ["cancelled"]


def test_django_is_asked_in_a_thread_of_its_own_whose_connections_end_with_it() -> None:
    """A worker's connection is its own thread's, and this is another; nothing of it is left."""
    closed: list[Any] = []

    def ask() -> int:
        thread = threading.current_thread()
        connection = connections["default"]
        connection.close = lambda: closed.append(thread)  # type: ignore[method-assign]
        return thread.ident or 0

    async def main() -> tuple[int, int]:
        return await sync_to_async(ask)(), await sync_to_async(ask)()

    first, second = awaited(main())
    assert first == second != threading.get_ident()
    (thread,) = closed
    assert not thread.is_alive()
    awaited(main())
    assert closed[1] is not thread
