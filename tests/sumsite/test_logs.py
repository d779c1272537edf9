"""Log lines for machines."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from compute.queue import logs
from sumsite.logs import JsonLines, Lines


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


# --- for people -------------------------------------------------------------------------


EVIL = "title\n2026-01-01 INFO root: forged\x1b[31m\x9b\u2028\u202e\udce9\r"
ESCAPED = r"title\n2026-01-01 INFO root: forged\x1b[31m\x9b\u2028\u202e\udce9\r"


def printed(**fields: Any) -> str:
    given = {"msg": "%s is done", "args": ("it",), "levelname": "INFO", "name": "x", **fields}
    return Lines("{levelname} {name}: {message}", style="{").format(logging.makeLogRecord(given))


def test_a_line_for_people_names_the_task_at_its_end() -> None:
    assert printed() == "INFO x: it is done"
    about = logs.ids({"id": "t", "group": "g", "position": 6})
    assert printed(**about) == "INFO x: it is done [task=t run=g chunk=7]"
    assert printed(**about, attempt=2).endswith("[task=t run=g chunk=7 attempt=2]")
    assert printed(**logs.ids({"id": "t"})) == "INFO x: it is done [task=t]"


def test_what_comes_from_outside_is_one_line() -> None:
    assert printed(args=(EVIL,)) == f"INFO x: {ESCAPED} is done"
    assert line(args=(EVIL,), path=EVIL)["message"] == f"{ESCAPED} is done"
    assert line(path=EVIL)["path"] == ESCAPED
    atoms = {"m": "GET", "U": "/\n", "s": "200", "B": 1, "h": "::1", "a": EVIL, "L": "0.1"}
    said = line("gunicorn.access", args=atoms)
    assert (said["path"], said["agent"]) == (r"/\n", ESCAPED)


def test_a_traceback_follows_its_line_and_can_forge_none() -> None:
    try:
        raise ValueError(EVIL)
    except ValueError:
        written = printed(exc_info=sys.exc_info(), stack_info="Stack")
    first, *rest = written.split("\n")
    assert first == "INFO x: it is done"
    assert all(each.startswith("    ") for each in rest)
    assert rest[-1] == "    Stack"
    assert "\x1b" not in written
    written = printed(traceback="Traceback\n  a\x1b\n")
    assert written == "INFO x: it is done\n    Traceback\n      a\\x1b"
    assert line(traceback="Traceback\n\x1b")["exc_info"] == "Traceback\n\\x1b"
