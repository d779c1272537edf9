"""Reports errors to Sentry, or to whatever else speaks its protocol."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

#: How long a process that is about to fork waits for reports that it has still to send.
FLUSH_S = 1


def report_errors_to(dsn: str, environment: str, release: str) -> None:
    """Send what is logged as an error, in this process and in those forked from it.

    sentry_sdk is imported here, for without a DSN nothing of it shall run.
    """
    import sentry_sdk

    stopped = False

    def start() -> None:
        nonlocal stopped
        stopped = False
        sentry_sdk.init(
            dsn=dsn,
            environment=environment or None,
            release=release or None,
            before_send=apart,
            # Both may hold what people have sent.
            max_request_body_size="never",
            include_local_variables=False,
        )

    def stop() -> None:
        """A child that is forked beside a running thread may find its locks held for ever."""
        nonlocal stopped
        threads = [each for each in threading.enumerate() if each.name.startswith("sentry-sdk.")]
        if threads:  # closing would start one, too
            stopped = True
            sentry_sdk.get_client().close(timeout=FLUSH_S)
            for thread in threads:
                thread.join(FLUSH_S)
            wait_for_the_kernel()

    def start_again() -> None:
        if stopped:
            start()

    start()
    os.register_at_fork(before=stop, after_in_parent=start_again, after_in_child=start)


def wait_for_the_kernel() -> None:
    """Wait until Linux has no ended thread left, either: Python before 3.13 joins earlier."""
    with contextlib.suppress(OSError):  # no Linux
        until = time.monotonic() + FLUSH_S
        while len(os.listdir("/proc/self/task")) > threading.active_count():
            if time.monotonic() > until:  # others have threads that Python does not know
                break
            time.sleep(0.001)


def apart(event: Event, hint: Hint) -> Event:
    """Failures of different functions are different issues, although one line logs them."""
    record: Any = hint.get("log_record")
    function = getattr(record, "function", None)
    if function:
        event["fingerprint"] = ["task failed", function, getattr(record, "error_class", None) or ""]
    return event
