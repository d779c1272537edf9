"""Errors reported by Sentry's protocol: to a server of the test's own, and only if asked."""

from __future__ import annotations

import gzip
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.db import connection
from django_q.tasks import async_task

from sumsite import reporting
from tests.processes import Processes, wait_until
from tests.servers import serving


class Sink(ThreadingHTTPServer):
    """Takes in what is reported."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.asked: list[str] = []
        self.events: list[dict[str, Any]] = []

    @property
    def dsn(self) -> str:
        return f"http://public@127.0.0.1:{self.server_port}/7"

    def about(self, text: str) -> list[dict[str, Any]]:
        return [event for event in self.events if text in json.dumps(event)]


class Taker(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        self.server.asked.append(self.path)
        # A line about the envelope, then two for each item: about it, and the item itself.
        lines = [json.loads(line) for line in body.splitlines()]
        for header, item in zip(lines[1::2], lines[2::2], strict=True):
            if header["type"] == "event":
                self.server.events.append(item)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    with serving(server):
        yield server


def test_failures_of_different_functions_are_different_issues() -> None:
    def fingerprint(**extra: Any) -> Any:
        record = logging.makeLogRecord(extra)
        return reporting.apart({}, {"log_record": record}).get("fingerprint")

    assert fingerprint(function="a", error_class="ValueError") == ["task failed", "a", "ValueError"]
    assert fingerprint(function="b") == ["task failed", "b", ""]
    assert fingerprint() is None
    assert reporting.apart({}, {}) == {}


def test_the_sdk_is_told_to_keep_what_people_have_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    import sentry_sdk

    told: dict[str, Any] = {}
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: told.update(options))
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    reporting.report_errors_to("https://public@errors.example/7", "staging", "")
    assert told["dsn"] == "https://public@errors.example/7"
    assert (told["environment"], told["release"]) == ("staging", None)
    assert told.get("send_default_pii") is None, "which is no"
    assert told["include_local_variables"] is False
    assert told["max_request_body_size"] == "never"


def test_no_thread_of_it_runs_while_a_process_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    import sentry_sdk

    hooks: dict[str, Any] = {}
    starts: list[Any] = []
    monkeypatch.setattr(os, "register_at_fork", lambda **given: hooks.update(given))
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: starts.append(options))
    reporting.report_errors_to("https://public@errors.example/7", "", "")
    hooks["before"]()
    hooks["after_in_parent"]()
    assert len(starts) == 1, "there was nothing to stop"
    closed = threading.Event()
    client = SimpleNamespace(close=lambda timeout: closed.set())
    monkeypatch.setattr(sentry_sdk, "get_client", lambda: client)
    thread = threading.Thread(target=closed.wait, name="sentry-sdk.BackgroundWorker")
    thread.start()
    hooks["before"]()
    assert not thread.is_alive()
    hooks["after_in_parent"]()
    hooks["after_in_child"]()
    assert len(starts) == 3


@pytest.mark.parametrize("threads", [1, 1000])
def test_threads_that_python_does_not_know_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(reporting, "FLUSH_S", 0.01)
    monkeypatch.setattr(os, "listdir", lambda folder: ["1"] * threads)
    reporting.wait_for_the_kernel()


def test_where_no_kernel_tells_of_threads_none_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def listdir(folder: str) -> None:
        raise FileNotFoundError(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    reporting.wait_for_the_kernel()


@pytest.mark.once
def test_a_failed_task_a_dead_worker_and_a_broken_page_are_reported(
    processes: Processes, sink: Sink
) -> None:
    where = {"SENTRY_DSN": sink.dsn, "SENTRY_RELEASE": "v1", "SENTRY_ENVIRONMENT": "tests"}
    node = processes.node(**where)
    task_id = async_task("tests.queue.functions.fail", "a failure of its own")
    async_task("signal.raise_signal", 9)
    _, site = processes.web(WEB_CONCURRENCY="1", **where)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE queue_tally RENAME TO elsewhere")
    try:
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{site}/metrics")
        caught.value.close()
        wait_until(lambda: sink.about("no such table: queue_tally"), what="the broken page")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO queue_tally")
    (failed,) = wait_until(lambda: sink.about("a failure of its own"), what="the failed task")
    assert (failed["release"], failed["environment"]) == ("v1", "tests")
    assert failed["fingerprint"] == [
        "task failed",
        "tests.queue.functions.fail",
        "ValueError",
    ]
    assert failed["logentry"]["formatted"].endswith("ValueError: a failure of its own")
    assert "Traceback (most recent call last)" in failed["extra"]["traceback"]
    assert failed["extra"]["task"] == task_id
    wait_until(lambda: sink.about("was killed by SIGKILL, starting another"), what="its death")
    wait_until(lambda: sink.about("for the 3rd time"), what="the task that failed of it")
    assert set(sink.asked) == {"/api/7/envelope/"}
    assert node.stop() == 0


@pytest.mark.once
def test_without_a_dsn_nothing_of_it_is_loaded(processes: Processes) -> None:
    program = (
        "import django, sys; django.setup(); import logging; "
        "logging.getLogger('compute').error('for nobody'); "
        "print('loaded:', [name for name in sys.modules if name.startswith('sentry')])"
    )
    process = processes.start(
        *(sys.executable, "-c", program),
        SENTRY_DSN="",
        DJANGO_SETTINGS_MODULE="sumsite.settings",
    )
    assert process.popen.wait(30) == 0
    assert process.text().endswith("loaded: []\n")


@pytest.mark.once
def test_a_dsn_that_is_none_is_said_at_the_start(processes: Processes) -> None:
    process = processes.manage("check", SENTRY_DSN="nonsense")
    assert process.popen.wait(30) != 0
    assert "BadDsn" in process.text()
