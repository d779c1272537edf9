"""Log lines for people and for machines: one for an event, whoever wrote it.

Text from outside, a title, a message, an agent, is a part of its line and no line of its own:
control characters are escaped. Text that has lines by its nature, a traceback, follows the line
of its event, indented, or is a field of it.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from pythonjsonlogger.json import JsonFormatter

#: The parts of a request's line: gunicorn's name for each, and ours.
REQUEST = {"m": "method", "U": "path", "s": "status", "B": "bytes", "h": "client", "a": "agent"}
#: The fields that have lines.
BLOCKS = ("exc_info", "stack_info", "traceback")


#: Characters that no line may have: control characters, line separators, marks that turn the
#: direction of writing, and surrogates, which UTF-8 can't say.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """A text in one line, whoever made it up: unprintable characters are escaped, as \\n is."""
    return UNPRINTABLE.sub(escaped, text)


def plain_lines(text: str) -> str:
    """The same of each line of a text, such as a traceback."""
    return "\n".join(map(plain, text.split("\n")))


def escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


class Lines(logging.Formatter):
    """For people: the ids of the task that a line is about stand at its end."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = plain(record.getMessage())
        record.asctime = self.formatTime(record, self.datefmt)
        about = told(record)
        line = self.formatMessage(record) + (f" [{about}]" if about else "")
        exception = self.formatException(record.exc_info) if record.exc_info else ""
        blocks = (getattr(record, "traceback", ""), exception, record.stack_info or "")
        return "\n".join([line, *(indented(block) for block in blocks if block)])


def told(record: logging.LogRecord) -> str:
    """The ids of a line's task, if it is about one: `task=… run=… chunk=7 attempt=2`."""
    known = vars(record)
    if not known.get("task"):
        return ""
    ids = {"task": known["task"]}
    if known.get("group") != known["task"]:
        ids |= {"run": known.get("group"), "chunk": known.get("position", 0) + 1}
    if known.get("attempt", 1) > 1:
        ids["attempt"] = known["attempt"]
    return " ".join(f"{name}={plain(str(value))}" for name, value in ids.items() if value)


def indented(block: str) -> str:
    return "\n".join(f"    {plain(line)}" for line in block.rstrip("\n").split("\n"))


class JsonLines(JsonFormatter):
    """For machines: time, level, logger and message, and whatever ids the event has.

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
        if "traceback" in log_data:
            log_data["exc_info"] = log_data.pop("traceback")
        if record.name == "gunicorn.access" and isinstance(record.args, dict):
            log_data.update({ours: record.args[theirs] for theirs, ours in REQUEST.items()})
            log_data["status"] = int(str(record.args["s"]))
            log_data["seconds"] = float(str(record.args["L"]))
            log_data["message"] = "{method} {path} {status}".format_map(log_data)
        for name, value in log_data.items():
            if isinstance(value, str):
                log_data[name] = plain_lines(value) if name in BLOCKS else plain(value)
