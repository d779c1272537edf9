"""Each module with code of its own has its own tests, in the file that has its name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.product import PRODUCT
from tests.selection import mirror_of


def has_code(source: str) -> bool:
    """Whether a module defines a function, or a class with methods."""
    nodes = ast.walk(ast.parse(source))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)


MODULES = [
    path.relative_to(ROOT)
    for path in PRODUCT
    if "migrations" not in path.parts and has_code(path.read_text())
]


def test_what_is_code() -> None:
    assert has_code("def f(): ...")
    assert has_code("class A:\n    def f(self): ...")
    assert has_code("if DEBUG:\n    async def f(): ...")
    assert not has_code("class A:\n    x = 1\nX = lambda: A()\nfrom b import *")
    assert not has_code("")


@pytest.mark.parametrize(
    ("module", "mirror"),
    [
        ("compute/fields.py", "tests/test_fields.py"),
        ("compute/queue/fanout.py", "tests/queue/test_fanout.py"),
        ("compute/queue/engines/__init__.py", "tests/queue/test_engines.py"),
        ("compute/computations/__init__.py", "tests/test_computations.py"),
        ("sumsite/settings.py", "tests/sumsite/test_settings.py"),
    ],
)
def test_where_the_tests_of_a_module_are(module: str, mirror: str) -> None:
    assert mirror_of(Path(module)) == Path(mirror)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_has_tests_of_its_own(module: Path) -> None:
    mirror = ROOT / mirror_of(module)
    assert mirror.is_file(), f"{module} has no {mirror_of(module)}"
    assert "\ndef test_" in mirror.read_text()
