"""Log lines for machines: one JSON object each, whoever wrote it."""

from __future__ import annotations

import logging
from typing import Any

from pythonjsonlogger.json import JsonFormatter

#: What a request's line is made of: gunicorn's name for it, and ours.
REQUEST = {"m": "method", "U": "path", "s": "status", "B": "bytes", "h": "client", "a": "agent"}


class JsonLines(JsonFormatter):
    """Time, level, logger and message, and whatever ids the event has.

    A task's group is the id of its run, and its place there is said as people count.
    """

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "process", "message"],
            rename_fields={"levelname": "level", "name": "logger", "group": "run"},
            timestamp="time",
        )

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data.pop("request", None)  # Django's, an object
        if "position" in log_data:
            log_data["chunk"] = log_data.pop("position") + 1
        if record.name == "gunicorn.access" and isinstance(record.args, dict):
            log_data.update({ours: record.args[theirs] for theirs, ours in REQUEST.items()})
            log_data["status"] = int(str(record.args["s"]))
            log_data["seconds"] = float(str(record.args["L"]))
            log_data["message"] = "{method} {path} {status}".format_map(log_data)
