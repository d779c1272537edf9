"""Django's own tests of its Tasks framework, with our backend.

They are not among Django's installed files, so they are taken from its source distribution, by
pip and its index, with the hash that requirements.txt has.
"""

from __future__ import annotations

import importlib
import io
import re
import subprocess
import sys
import tarfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.queue.backend.framework import Task
from compute.queue.backend.results import task_of
from tests.processes import ROOT

pytestmark = pytest.mark.main_path

#: The framework's package: Django's own, or the one for Django before 6.
FRAMEWORK = Task.__module__.rpartition(".")[0]
#: What does not apply to us, and why.
NOT_OURS = {
    "test_tasks": {},
    "test_immediate_backend": {
        "test_cannot_get_result": "results can be had",
        "test_cannot_refresh_result": "results can be had",
        "test_cannot_pass_run_after": "tasks can be deferred",
        "test_throws_keyboard_interrupt": "it fails the task, and its worker goes on",
        "test_catches_exception": "the log's line is written by the reporter, which has the "
        "traceback's text and no exception; test_results.py asks for the rest",
    },
}
#: The package for Django before 6 is older than these.
NOT_THERE: dict[str, dict[str, str]] = {
    "test_tasks": {
        **dict.fromkeys(
            ("test_pickle_task", "test_pickle_task_result"), "its tasks can't be pickled"
        ),
        **dict.fromkeys(
            ("test_unpickle_arbitrary_string", "test_unpickle_non_task_object"),
            "nor read again",
        ),
        "test_run_after_in_decorator": "it refuses that in other words",
    },
    "test_immediate_backend": {},
}
#: In the place of the backends that they were written for.
IN_PLACE_OF = {
    "test_tasks": ("django.tasks.backends.dummy", "DummyBackend", "Stored"),
    "test_immediate_backend": ("django.tasks.backends.immediate", "ImmediateBackend", "Here"),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the package `tasks`."""
    folder = tmp_path_factory.mktemp("django")
    text = (ROOT / "requirements.txt").read_text()
    pins = re.findall(r"(?m)^(django==\S+) ; .*\\\n((?:    --hash=\S+.*\n)+)", text)
    pin, hashes = max(pins)  # the newer one has the framework
    (folder / "django.txt").write_text(" ".join([pin, *re.findall(r"--hash=\S+", hashes)]))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", "django", "--ignore-requires-python"]
    subprocess.run([*command, "--require-hashes", "-r", "django.txt"], cwd=folder, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        for name in ("__init__", "tasks", *IN_PLACE_OF):
            end = f"/tests/tasks/{name}.py"
            (member,) = [each for each in tar.getnames() if each.endswith(end)]
            content = tar.extractfile(member)
            assert content
            (folder / "tasks").mkdir(exist_ok=True)
            (folder / "tasks" / f"{name}.py").write_text(adapted(name, content.read().decode()))
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for module in [name for name in sys.modules if name.partition(".")[0] == "tasks"]:
        del sys.modules[module]


def adapted(name: str, source: str) -> str:
    """With our backends, on a database, and with the framework that there is."""
    if name in IN_PLACE_OF:
        module, theirs, ours = IN_PLACE_OF[name]
        source = source.replace(f"{module}.{theirs}", f"tests.queue.framework.{ours}")
        import_ours = f"from tests.queue.framework import {ours} as {theirs}"
        source = source.replace(f"from {module} import {theirs}", import_ours)
        source = re.sub(
            r"class (\w+)\((?:Simple|Transaction)TestCase\):",
            r'class \1(TransactionTestCase):\n    available_apps = ["compute.queue", "django_q"]\n',
            source,
        )
        source = source.replace("import SimpleTestCase,", "import TransactionTestCase,")
    if FRAMEWORK == "django_tasks":
        source = source.replace("django.tasks", FRAMEWORK)
        source = re.sub(r"\b(InvalidTask(Backend)?)\b", r"\1Error", source)  # in its version 0.12
    return source


@pytest.mark.parametrize("name", IN_PLACE_OF)
def test_the_backend_passes_the_frameworks_own_tests(
    transactional_db: None, suite: Path, name: str
) -> None:
    task_of.cache_clear()
    module = importlib.import_module(f"tasks.{name}")
    left_out = dict(NOT_OURS[name])
    if FRAMEWORK == "django_tasks":
        left_out |= NOT_THERE[name]
    found = unittest.defaultTestLoader.loadTestsFromModule(module)
    tests: list[Any] = [test for case in found for test in case]  # type: ignore[union-attr]
    names = {test.id().rpartition(".")[2] for test in tests}
    assert names >= left_out.keys(), "what is left out is there"
    assert len(names) >= 20
    wanted = [test for test in tests if test.id().rpartition(".")[2] not in left_out]
    said = io.StringIO()
    done = unittest.TextTestRunner(said, verbosity=2).run(unittest.TestSuite(wanted))
    assert done.wasSuccessful(), said.getvalue()
    assert done.testsRun == len(wanted)
    assert not done.skipped
