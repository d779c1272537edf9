"""What an `async def` has begun: awaited in the process that called it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections


def awaited(result: Any) -> Any:
    """What a function has returned; of an `async def` what that comes to, in an event loop of its
    own. Raises what it raises.

    The loop runs in this thread, so a time limit's alarm interrupts whatever is at work, and all
    that was begun beside it is cancelled.
    """
    return asyncio.run(alone(result)) if inspect.iscoroutine(result) else result


async def alone(begun: Coroutine[Any, Any, Any]) -> Any:
    """Await it. Django's database calls get a thread for it alone, whose connections end with it:
    no other task meets what it has left open there."""
    async with ThreadSensitiveContext():
        try:
            return await begun
        finally:
            await sync_to_async(connections.close_all)()
