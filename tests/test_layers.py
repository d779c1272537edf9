"""The arrows between the modules: who may know whom."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.computations import OURS
from tests.processes import ROOT

#: Somebody's own computations may lie beside ours, and are as they like.
OTHERS = {
    path
    for path in ROOT.glob("compute/computations/**/*.py")
    if path.relative_to(ROOT / "compute/computations").parts[0].removesuffix(".py")
    not in ("__init__", *OURS)
}
PRODUCT = sorted({*ROOT.glob("compute/**/*.py"), *ROOT.glob("sumsite/**/*.py")} - OTHERS)
QUEUE = sorted(ROOT.glob("compute/queue/**/*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    """The full names of what a module imports, and of what it imports from there."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_in(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def test_relative_imports_are_understood() -> None:
    assert "compute.queue.models.Job" in imported(ROOT / "compute/models.py")
    assert "compute.views" in imported(ROOT / "compute/urls.py")
    assert "compute.queue.broker.DatabaseBroker" in imported(ROOT / "compute/queue/fanout.py")


@pytest.mark.parametrize("path", QUEUE, ids=name_of)
def test_the_queue_imports_django_q2_and_django_only(path: Path) -> None:
    for name in imported(path):
        assert is_standard(name) or is_in(
            name, "compute.queue", "django", "django_q", "picklefield"
        ), name


@pytest.mark.parametrize("name", ["tasks", "chunking"])
def test_what_the_queue_runs_knows_neither_django_nor_the_queue(name: str) -> None:
    for module in imported(ROOT / "compute" / f"{name}.py"):
        assert is_standard(module), module


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_nothing_imports_the_views_but_urls(path: Path) -> None:
    knows = any(is_in(name, "compute.views") for name in imported(path))
    assert knows == (name_of(path) == "compute/urls.py")


@pytest.mark.parametrize("path", sorted(ROOT.glob("sumsite/*.py")), ids=name_of)
def test_the_site_imports_nothing_of_the_app(path: Path) -> None:
    assert not any(is_in(name, "compute") for name in imported(path))


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        (
            "models",
            (
                *("compute.queue", "compute.chunking", "compute.estimates", "compute.values"),
                *("compute.computation", "compute.computations", "compute.combining"),
                "compute.given",
            ),
        ),
        # (What it is given are runs; their class it knows by name alone.)
        (
            "estimates",
            ("compute.queue", "compute.chunking", "compute.computation", "compute.models"),
        ),
        ("forms", ("compute.chunking", "compute.computation", "compute.fields", "compute.given")),
        ("fields", ()),
        ("given", ()),
        ("refusals", ()),
        (
            "computation",
            ("compute.chunking", "compute.given", "compute.queue.call", "compute.refusals"),
        ),
        ("declarations", ("compute.computation", "compute.forms", "compute.queue.call")),
        ("values", ()),
        ("health", ("compute.queue",)),
        ("replies", ()),
        ("middleware", ("compute.queue", "compute.replies")),
        ("masking", ()),
        ("clients", ()),
        (
            "limits",
            (
                *("compute.clients", "compute.estimates", "compute.models", "compute.queue"),
                *("compute.room", "compute.templatetags"),
            ),
        ),
        ("room", ()),
        ("slots", ()),
        ("bodies", ("compute.replies",)),
        ("origins", ("compute.replies",)),
        ("several", ("compute.models", "compute.queue")),
        ("access", ("compute.clients",)),
        ("admin", ("compute.models", "compute.queue", "compute.several")),
        ("owners", ("compute.clients", "compute.estimates", "compute.models", "compute.replies")),
        ("accounts", ("compute.generic", "compute.replies")),
        (
            "passwords",
            (
                "compute.accounts",
                "compute.clients",
                "compute.generic",
                "compute.models",
                "compute.replies",
            ),
        ),
    ],
)
def test_a_module_knows_only_what_lies_below_it(name: str, allowed: tuple[str, ...]) -> None:
    for module in imported(ROOT / "compute" / f"{name}.py"):
        if is_in(module, "compute"):
            assert is_in(module, *allowed), module


@pytest.mark.parametrize("path", QUEUE, ids=name_of)
def test_the_queue_never_mentions_a_sum(path: Path) -> None:
    tokens = list(tokenize.generate_tokens(io.StringIO(path.read_text()).readline))
    for token, after in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.string in ("sum", "Sum") and after.string == "(":
            continue  # Python's and Django's own
        # (SQL has one, too.)
        assert not re.search(r"(?<![a-z])sum(?!\()|chunk_size", token.string, re.I), token.line


GENERIC = [
    *(ROOT / "compute").glob("*.py"),
    *ROOT.glob("compute/queue/**/*.py"),
    *ROOT.glob("templates/**/*.html"),
    ROOT / "compute/computations/__init__.py",
    ROOT / "compute/management/commands/compute.py",
]
#: The tutorial's own: its tasks, ranges, views, addresses and pages.
TUTORIAL = {"tasks.py", "chunking.py", "views.py", "urls.py", "home.html", "sum.html"}


@pytest.mark.parametrize("path", GENERIC, ids=name_of)
def test_what_serves_every_computation_names_none(path: Path) -> None:
    if path.name not in TUTORIAL:
        text = path.read_text().replace("sumsite", "").replace("Sum(", "")
        text = text.replace(f"OURS = {OURS}".replace("'", '"'), "")  # by file, to go first
        assert not re.search(r"prime|(?<![a-z])sums?(?![a-z(])", text, re.I)
