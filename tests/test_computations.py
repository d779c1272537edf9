"""What the folder of computations holds, whatever lies in it (compute/computations/)."""

from __future__ import annotations

import logging
import shutil
import sys
import tomllib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compute.computations import (
    OURS,
    Loaded,
    all_computations,
    load,
    loaded,
    own_computations,
    problems,
    unlogged,
)
from compute.computations.primes import PRIMES
from compute.computations.sums import SUM
from tests.processes import ROOT

GOOD = """
from dataclasses import replace
from compute.computations.primes import PRIMES
{name} = replace(PRIMES, name={called!r})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: object) -> Iterator[Path]:
    """An empty package to put computations into; its name is nobody else's."""
    package = tmp_path / f"own_{uuid.uuid4().hex}"
    package.mkdir()
    (package / "__init__.py").touch()
    settings.BASE_DIR = package  # type: ignore[attr-defined]
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in [each for each in sys.modules if each.startswith(package.name)]:
        del sys.modules[name]


@pytest.fixture
def declare(folder: Path) -> Callable[..., Loaded]:
    """Write modules, by name, and load the folder."""

    def declare(**modules: str) -> Loaded:
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        return load([str(folder)], folder.name)

    return declare


def test_a_module_in_the_folder_is_enough() -> None:
    assert {"primes": PRIMES, "sum": SUM}.items() <= all_computations().items()
    assert loaded() is loaded()
    assert problems() is loaded().problems


def test_several_in_one_module_and_one_in_a_package_are_found(
    folder: Path, declare: Callable[..., Loaded]
) -> None:
    (folder / "packed").mkdir()
    (folder / "packed" / "__init__.py").write_text(GOOD.format(name="A", called="packed"))
    (folder / "packed" / "helper.py").write_text("raise ValueError('nobody asked for it')")
    (folder / "data.csv").touch()
    two = GOOD.format(name="B", called="two") + GOOD.format(name="C", called="three")
    found, problems, _ = declare(two=two, random=GOOD.format(name="D", called="random"))
    assert list(found) == ["packed", "primes", "random", "three", "two"]
    assert problems == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this"),
        ("def f(:", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero."),
        ("raise SystemExit(3)", "SystemExit: 3."),
        ("raise ValueError('a\\nb')", "ValueError: a b."),
        ("x = 'caf\udce9'", "SyntaxError: "),
        (
            "class Odd:\n    @property\n    def __class__(self): raise KeyError('odd')\nX = Odd()",
            "KeyError: 'odd'.",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_left_out_and_named(
    folder: Path,
    declare: Callable[..., Loaded],
    caplog: pytest.LogCaptureFixture,
    text: str,
    said: str,
) -> None:
    (folder / "broken.py").write_bytes(text.encode("utf-8", "surrogateescape"))
    found, problems, _ = declare(good=GOOD.format(name="A", called="good"))
    assert list(found) == ["good", "primes"]
    (problem,) = problems
    assert problem.id == "compute.W001"
    assert problem.sentence.startswith(f"broken.py can't be loaded: {said}")
    (record,) = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)
    assert record.getMessage() == f"left out: {problem.sentence}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("x = 1\n\n1 / 0", "Mend it (line 3), or take it out of the folder."),
        ("def f(:", "Mend it, or take it out of the folder."),
        (
            "import nothing_of_this_name",
            "If this is a library, name it in requirements.in, run bin/requirements, and start "
            "bin/dev again. Mend it (line 1), or take it out of the folder.",
        ),
        ("import compute.nothing", "Mend it (line 1), or take it out of the folder."),
    ],
)
def test_how_a_module_is_mended_is_said(
    declare: Callable[..., Loaded], text: str, hint: str
) -> None:
    (problem,) = declare(broken=text).problems
    assert problem.hint == hint


def test_who_tells_of_the_problems_has_nothing_logged(
    declare: Callable[..., Loaded], caplog: pytest.LogCaptureFixture
) -> None:
    with unlogged():
        assert declare(broken="1 / 0").problems
    assert not caplog.records
    assert declare().problems
    assert caplog.records


@pytest.mark.parametrize("name", ["Bad-Name", "class", "1st", "my numbers"])
def test_a_file_that_is_called_as_no_module_may_be_is_named(
    declare: Callable[..., Loaded], name: str
) -> None:
    found, problems, _ = declare(**{name: GOOD.format(name="A", called="mine")})
    assert not found
    assert problems[0].sentence == f"{name}.py can't be loaded: {name!r} is no name of a module."


def test_of_two_with_one_name_both_files_are_named_and_the_first_is_used(
    declare: Callable[..., Loaded],
) -> None:
    same = GOOD.format(name="A", called="same")
    found, problems, _ = declare(one=same, two=same)
    assert sys.modules[found["same"].function.__module__]
    assert [each[:2] for each in problems] == [
        (
            "compute.W003",
            "two.py and one.py both declare a computation 'same'; that of one.py is used.",
        )
    ]


def test_ours_are_displaced_by_no_copy_whose_name_was_left_as_it_was(
    folder: Path, declare: Callable[..., Loaded]
) -> None:
    for name in OURS:
        shutil.copy(ROOT / "compute" / "computations" / f"{name}.py", folder)
        shutil.copy(folder / f"{name}.py", folder / f"a_copy_of_{name}.py")
    found, problems, _ = declare()
    assert {each.form.__module__ for each in found.values()} == {
        f"{folder.name}.{name}" for name in OURS
    }
    assert [each.id for each in problems] == ["compute.W003"] * len(found)
    assert "a_copy_of_primes.py and primes.py both declare" in problems[1].sentence


def test_one_that_another_module_imports_counts_once_right_or_wrong(
    folder: Path, declare: Callable[..., Loaded]
) -> None:
    wrong = GOOD.format(name="WRONG", called="Bad Name/ü")
    imports = f"from {folder.name}.one import *"
    found, problems, _ = declare(
        one=GOOD.format(name="A", called="one") + "B = A\n" + wrong, two=imports
    )
    assert list(found) == ["one", "primes"]
    assert [each.id for each in problems] == ["compute.W002"]


def test_a_wrong_one_is_left_out_and_those_beside_it_are_not(
    declare: Callable[..., Loaded], caplog: pytest.LogCaptureFixture
) -> None:
    wrong = GOOD.format(name="A", called="wrong").replace(")", ", function=lambda a, b: 1)")
    found, problems, _ = declare(odd=wrong + GOOD.format(name="B", called="right"))
    assert list(found) == ["primes", "right"]
    assert problems[0].sentence == (
        "odd.py, computation 'wrong': no worker can find `function`, <lambda>."
    )
    assert problems[0].sentence in caplog.text


def test_a_folder_elsewhere_is_named_in_full(tmp_path: Path) -> None:
    (tmp_path / "broken-one.py").touch()
    (problem,) = load([str(tmp_path)], "nowhere").problems
    assert str(tmp_path / "broken-one.py") in problem.sentence


def test_what_is_asked_of_ours_is_asked_by_these_names() -> None:
    files = [f"compute/computations/{name}.py" for name in OURS]
    files += [f"tests/computations/test_{name}.py" for name in OURS]
    assert " ".join((ROOT / "bin/setup.sh").read_text().replace("\\\n", "").split()).count(
        " ".join(files)
    )
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    (strict,) = [each for each in mypy["overrides"] if each.get("ignore_errors") is False]
    modules = {name.removesuffix(".py").replace("/", ".") for name in files}
    assert modules < set(strict["module"])


def test_those_that_did_not_come_with_the_site_are_told_apart(
    declare: Callable[..., Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = declare(
        primes=GOOD.format(name="A", called="ours"),
        mine=GOOD.format(name="B", called="b") + GOOD.format(name="C", called="a"),
        second=GOOD.format(name="D", called="ours"),  # of a name that ours has
    )
    assert found.own == {"a", "b"}
    monkeypatch.setattr("compute.computations.loaded", lambda: found)
    assert [each.name for each in own_computations()] == ["a", "b"]
