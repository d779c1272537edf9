"""The arrows between the modules: who may know whom."""

from __future__ import annotations

import ast
import io
import pydoc
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.computations import OURS
from compute.queue.call import path_of
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
    assert "compute.queue.models.Job" in imported(ROOT / "compute/models/run.py")
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


# --- floors, circles, sizes ------------------------------------------------------------

#: From below: a module knows those of its own floor and of the floors under it.
FLOORS = (
    # plain functions and data, without Django's requests and without rows
    ("chunking", "fields", "given", "refusals", "tasks", "values", "templatetags"),
    # (It needs nothing of those; some of them need its words for a text or an error.)
    ("queue",),
    # what a computation is
    ("computation", "forms", "declarations", "computations", "checks"),
    # a run's life
    ("models", "several", "retention"),
    ("web",),
    # what Django and people call: addresses, views, commands, and the app that connects it all
    ("views", "urls", "apps", "management"),
)
#: Modules that stay for one version: names in the queue, as the version before knows them.
OF_BEFORE = ("compute/combining.py", "compute/passwords.py")
#: Files of compute/queue/ that are still tied in a circle. The list may get shorter.
STILL_IN_A_CIRCLE = {
    "compute/queue/broker.py",
    "compute/queue/call.py",
    "compute/queue/channels.py",
    "compute/queue/entry.py",
    "compute/queue/models.py",
    "compute/queue/outcomes.py",
    "compute/queue/wakeup.py",
}
#: Files of compute/queue/ that are still longer than a file may be.
STILL_TOO_LONG = {
    "compute/queue/admin.py",
    "compute/queue/call.py",
    "compute/queue/models.py",
    "compute/queue/sentinel.py",
}
#: Lines of a file.
MOST = 250


def floor_of(path: Path) -> int:
    name = path.relative_to(ROOT / "compute").parts[0].removesuffix(".py")
    (floor,) = (number for number, names in enumerate(FLOORS) if name in names)
    return floor


def file_of(name: str) -> Path | None:
    """The file that has what is imported by this name: of a module, or of a name in one."""
    for dotted in (name, name.rpartition(".")[0]):
        base = ROOT.joinpath(*dotted.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path in FILES:
                return path
    return None


FILES = {path for path in PRODUCT if "migrations" not in path.parts and path.stat().st_size}
ARROWS = {
    path: {found for name in imported(path) if (found := file_of(name))} - {path}
    for path in sorted(FILES)
}


def below(path: Path) -> set[Path]:
    """All files that an import leads to, and the next from there."""
    found: set[Path] = set()
    ahead = [path]
    while ahead:
        for each in ARROWS[ahead.pop()] - found:
            found.add(each)
            ahead.append(each)
    return found


@pytest.mark.parametrize(
    "path", [path for path in ARROWS if name_of(path).startswith("compute/")], ids=name_of
)
def test_arrows_go_down_only(path: Path) -> None:
    if name_of(path) in OF_BEFORE:
        assert len(path.read_text().splitlines()) < 10, "it names what is elsewhere, and no more"
        return
    for other in ARROWS[path]:
        assert name_of(other) not in OF_BEFORE
        assert floor_of(other) <= floor_of(path), name_of(other)


def test_there_is_no_circle() -> None:
    """Imports inside a function count, and those for types alone."""
    circle = {name_of(path) for path in ARROWS if path in below(path)}
    assert not circle - STILL_IN_A_CIRCLE
    assert not STILL_IN_A_CIRCLE - circle, "they are free: take them off the list"


def test_circles_are_seen() -> None:
    assert file_of("compute.models.Run") == ROOT / "compute/models/__init__.py"
    assert ROOT / "compute/models/run.py" in below(ROOT / "compute/views.py")
    assert ROOT / "compute/computations/__init__.py" in below(ROOT / "compute/models/run.py")
    assert ROOT / "compute/views.py" not in below(ROOT / "compute/models/run.py")


def test_no_file_is_long() -> None:
    of_compute = [path for path in PRODUCT if path.is_relative_to(ROOT / "compute")]
    long = {name_of(path) for path in of_compute if len(path.read_text().splitlines()) > MOST}
    assert not long - STILL_TOO_LONG
    assert not STILL_TOO_LONG - long, "they are short enough: take them off the list"


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("fields", ()),
        ("given", ()),
        ("refusals", ()),
        ("values", ()),
        (
            "computation",
            ("compute.chunking", "compute.given", "compute.queue.call", "compute.refusals"),
        ),
        ("forms", ("compute.chunking", "compute.computation", "compute.fields", "compute.given")),
        ("declarations", ("compute.computation", "compute.forms", "compute.queue.call")),
        ("models/states", ()),
        ("several", ("compute.models", "compute.queue")),
        ("web/health", ("compute.queue",)),
        ("web/metrics", ("compute.queue",)),
        *((f"web/{name}", ()) for name in ("clients", "masking", "pictures", "replies", "room")),
        *((f"web/{name}", ()) for name in ("slots", "statics")),
        ("web/access", ("compute.web.clients",)),
        ("web/bodies", ("compute.web.replies",)),
        ("web/origins", ("compute.web.replies",)),
        ("web/middleware", ("compute.queue", "compute.web.replies")),
        ("web/shares", ("compute.web.clients",)),
        ("web/admin", ("compute.models", "compute.queue", "compute.several")),
        ("web/owners", ("compute.models", "compute.web.clients", "compute.web.replies")),
        ("web/accounts", ("compute.web.base", "compute.web.replies")),
        (
            "web/passwords",
            (
                *("compute.models", "compute.web.accounts", "compute.web.base"),
                *("compute.web.clients", "compute.web.replies"),
            ),
        ),
    ],
)
def test_a_module_knows_only_what_it_needs(name: str, allowed: tuple[str, ...]) -> None:
    for module in imported(ROOT / "compute" / f"{name}.py"):
        if is_in(module, "compute"):
            assert is_in(module, *allowed), module


@pytest.mark.parametrize(
    "path",
    [
        "compute.combining.combine",
        "compute.models.advance",
        "compute.models.measure",
        "compute.passwords.send_links",
        "compute.retention.prune_a_share",
        *(f"compute.several.{name}" for name in ("cancel", "combine", "retry")),
    ],
)
def test_a_task_has_the_name_that_the_version_before_knows(path: str) -> None:
    task = pydoc.locate(path)
    assert callable(task)
    assert path_of(task) == path


# --- words -----------------------------------------------------------------------------


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
    *(path for name in ("models", "queue", "web") for path in ROOT.glob(f"compute/{name}/**/*.py")),
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
