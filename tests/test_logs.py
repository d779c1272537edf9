"""Log lines for machines."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from compute.queue import logs
from sumsite.logs import JsonLines


def line(name: str = "somebody", **fields: Any) -> dict[str, Any]:
    fields = {"msg": "%s is done", "args": ("it",), "levelname": "INFO", **fields}
    written = JsonLines().format(logging.makeLogRecord({"name": name, **fields}))
    assert "\n" not in written
    return dict(json.loads(written))


def test_a_line_has_time_level_logger_process_and_message() -> None:
    said = line()
    assert said.pop("time").endswith("+00:00")
    assert isinstance(said.pop("process"), int)
    assert said == {"level": "INFO", "logger": "somebody", "message": "it is done"}


def test_ids_are_named_as_people_name_them() -> None:
    said = line(**{**logs.ids({"id": "t", "group": "g", "position": 6}), "node": "n"})
    assert (said["task"], said["run"], said["chunk"], said["node"]) == ("t", "g", 7, "n")
    assert not {"group", "position"} & set(said)


def test_a_traceback_is_a_field() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        said = line(exc_info=sys.exc_info())
    assert said["exc_info"].endswith("ValueError: two\nlines")


def test_no_object_breaks_a_line() -> None:
    said = line(request=object(), status_code=404, other=object())
    assert said["status_code"] == 404
    assert "request" not in said


def test_a_request_is_told_in_fields_without_what_was_asked() -> None:
    atoms = {
        "m": "GET",
        "U": "/sum-start/",
        "q": "n=5",
        "s": "200",
        "B": 12,
        "h": "::1",
        "a": "curl",
    }
    said = line("gunicorn.access", msg="%(m)s %(U)s", args={**atoms, "L": "0.012"})
    assert said["message"] == "GET /sum-start/ 200"
    assert (said["method"], said["status"], said["bytes"], said["seconds"]) == (
        "GET",
        200,
        12,
        0.012,
    )
    assert "n=5" not in json.dumps(said)
    assert line("gunicorn.access", args=("it",))["message"] == "it is done"
