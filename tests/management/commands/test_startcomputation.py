"""`manage.py startcomputation`: a module and its test to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from compute.management.commands.startcomputation import KINDS, TEMPLATES
from tests.management.calling import call


@pytest.fixture
def project(tmp_path: Path, settings: Any) -> Path:
    """A folder to write computations into."""
    settings.BASE_DIR = tmp_path
    for folder in ("compute", "tests"):
        (tmp_path / folder / "computations").mkdir(parents=True)
    return tmp_path


def test_startcomputation_writes_a_module_and_its_test(project: Path) -> None:
    streams = call("startcomputation", "my-numbers")
    assert "wrote compute/computations/my_numbers.py" in streams.out.getvalue()
    module = (project / "compute" / "computations" / "my_numbers.py").read_text()
    assert 'name="my-numbers"' in module
    assert "class MyNumbersForm" in module
    test = (project / "tests" / "computations" / "test_my_numbers.py").read_text()
    assert "from compute.computations.my_numbers import MY_NUMBERS" in test


@pytest.mark.parametrize("name", ["", "My", "1st", "a_b", "a--b", "../x", "é", "a" * 101])
def test_startcomputation_refuses_what_is_no_name(project: Path, name: str) -> None:
    with pytest.raises(CommandError, match=r"Give a name of small letters.* begins with a letter"):
        call_command("startcomputation", name)
    assert not list(project.glob("*/*/*"))


def test_startcomputation_refuses_a_word_of_python(project: Path) -> None:
    with pytest.raises(CommandError, match=r"class is a word of Python; .*: my-class"):
        call_command("startcomputation", "class")
    assert not list(project.glob("*/*/*"))


def test_startcomputation_says_where_it_can_t_write(project: Path) -> None:
    folder = project / "compute" / "computations"
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(CommandError, match=r"This file can't be written: .*mine\.py"):
        call_command("startcomputation", "mine")


def test_startcomputation_overwrites_nothing(project: Path) -> None:
    call("startcomputation", "mine")
    for name in ("mine", "primes"):
        with pytest.raises(CommandError, match=f"There is a computation {name} already"):
            call_command("startcomputation", name)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_written_with_its_test(project: Path, kind: str) -> None:
    call("startcomputation", "my-own", "--kind", kind)
    module = (project / "compute" / "computations" / "my_own.py").read_text()
    test = (project / "tests" / "computations" / "test_my_own.py").read_text()
    for text in (module, test):
        compile(text, "my_own.py", "exec")
        assert "$" not in text
        assert all(len(line) <= 100 for line in text.splitlines())
    assert 'name="my-own"' in module
    assert "def test_my_own(" in test


def test_a_number_is_what_one_begins_with(project: Path) -> None:
    call("startcomputation", "first")
    call("startcomputation", "second", "--kind", "number")
    for name in ("first", "second"):
        module = (project / "compute" / "computations" / f"{name}.py").read_text()
        assert module.startswith('"""Adds up squares')


def test_there_are_no_other_kinds(project: Path) -> None:
    assert set(KINDS) == {path.name for path in TEMPLATES.iterdir()}
    with pytest.raises(CommandError, match="invalid choice: 'sound'"):
        call("startcomputation", "mine", "--kind", "sound")
