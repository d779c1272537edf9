"""Reports errors to Sentry, or to whatever else speaks its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


def report_errors_to(dsn: str, environment: str, release: str) -> None:
    """Send what is logged as an error, in this process and in those forked from it.

    Loaded here, for without a DSN nothing of it shall run.
    """
    import sentry_sdk

    sentry_sdk.init(
        dsn=dsn,
        environment=environment or None,
        release=release or None,
        before_send=apart,
        send_default_pii=False,
        # Both may hold what people have sent.
        max_request_body_size="never",
        include_local_variables=False,
    )


def apart(event: Event, hint: Hint) -> Event:
    """Failures of different functions are different issues, although one line logs them."""
    record: Any = hint.get("log_record")
    function = getattr(record, "function", None)
    if function:
        event["fingerprint"] = ["task failed", function, getattr(record, "error_class", None) or ""]
    return event
