"""The arrows between the modules: who may know whom."""

from __future__ import annotations

import ast
import io
import pydoc
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from compute.computations import OURS
from compute.queue.call import path_of
from tests.processes import ROOT
from tests.product import PRODUCT

QUEUE = sorted(ROOT.glob("compute/queue/**/*.py"))
ENGINES = sorted(ROOT.glob("compute/queue/engines/**/*.py"))
MIGRATIONS = ROOT / "compute/queue/migrations"
#: Packages that one module of the queue alone may import.
ALONE = {
    "metrics.py": ("prometheus_client",),
    "backend/framework.py": ("django_tasks",),  # before Django had it itself
}
#: What an engine does to jobs: `transitions` alone asks for it.
ASKED = tuple(
    f"engine().{name}"
    for name in (
        *(
            "enter",
            "claim",
            "admit",
            "start",
            "settle",
            "write_outcome",
            "give_back",
            "count_death",
        ),
        *("withdraw", "requeue"),
    )
)


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
    """And, in one module each, what a project may do without. (asgiref is a part of Django's,
    which asks databases by it.)"""
    more = ALONE.get(path.relative_to(ROOT / "compute/queue").as_posix(), ())
    for name in imported(path):
        assert is_standard(name) or is_in(
            name, "compute.queue", "asgiref", "django", "django_q", "picklefield", *more
        ), name


@pytest.mark.parametrize("path", ENGINES, ids=name_of)
def test_an_engine_knows_no_model(path: Path) -> None:
    for name in imported(path):
        assert is_standard(name) or is_in(
            *(name, "compute.queue.engines", "compute.queue.kernel", "compute.queue.touches"),
            "django.db",
        ), name
        assert not is_in(name, "django.db.models"), name


def test_the_transitions_know_the_engines_and_no_model() -> None:
    for name in imported(ROOT / "compute/queue/transitions.py"):
        assert is_standard(name) or is_in(
            *(name, "compute.queue.engines", "compute.queue.defaults"),
            "django.db.models.TextChoices",
        ), name


@pytest.mark.parametrize(
    "path",
    [path for path in QUEUE if path not in ENGINES and MIGRATIONS not in path.parents],
    ids=name_of,
)
def test_an_engine_alone_knows_which_database_it_is(path: Path) -> None:
    for line, text in code(path):
        assert not re.search("sqlite|postgres|psycopg|vendor", text, re.I), (line, text)


def code(path: Path) -> Iterator[tuple[int, str]]:
    """The names and texts in a module, without its comments and docstrings."""
    source = path.read_text()
    nodes = [node for node in ast.walk(ast.parse(source)) if hasattr(node, "body")]
    docstrings = {
        node.body[0].lineno
        for node in nodes
        if isinstance(node.body, list) and node.body and is_text(node.body[0])
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_docstring = token.type == tokenize.STRING and token.start[0] in docstrings
        if token.type != tokenize.COMMENT and not is_docstring:
            yield token.start[0], token.string


def is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


# --- who writes what becomes of a job ------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_a_jobs_state_is_written_by_its_transitions_alone(path: Path) -> None:
    """By name through an engine, or as a value; in SQL by the engines, whom no one else asks."""
    if path in (*ENGINES, ROOT / "compute/queue/transitions.py") or MIGRATIONS in path.parents:
        return
    assert list(states_written(path.read_text(), in_queue=path in QUEUE)) == []


def states_written(source: str, in_queue: bool) -> Iterator[str]:
    """Where a module writes, or has the database write, what may be a job's state.

    Outside of the queue other rows have a state, too: there it counts if its value is a job's.
    """
    for node in ast.walk(ast.parse(source)):
        values = [value for name, value in given(node) if name == "state"]
        if any(in_queue or is_of_a_job(value) for value in values):
            yield ast.unparse(node)
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith(ASKED):
            yield ast.unparse(node)
        if isinstance(node, ast.Constant) and re.search(SQL_WRITE, str(node.value)):
            yield str(node.value)


SQL_WRITE = re.compile(r"queue_job\b.*\bSET\b.*\bstate\b\s*=", re.S | re.I)


def given(node: ast.AST) -> Iterator[tuple[Any, ast.expr]]:
    """The names to which a call, an assignment or a dict gives values."""
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func).rpartition(".")[2]
        if called not in ("filter", "exclude", "get", "Q"):
            yield from ((keyword.arg, keyword.value) for keyword in node.keywords)
    elif isinstance(node, ast.Assign):
        yield from (
            (target.attr, node.value)
            for target in node.targets
            if isinstance(target, ast.Attribute)
        )
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield getattr(key, "value", None), value


def is_of_a_job(value: ast.expr) -> bool:
    return bool(re.match(r"(Job\.State|JobState)\.", ast.unparse(value)))


@pytest.mark.parametrize(
    ("source", "in_queue"),
    [
        ("Job.objects.filter(pk=1).update(state='done')", True),
        ("run.jobs.update(state=JobState.DONE)", False),
        ("Job(task_id=1, state=Job.State.FAILED).save()", False),
        ("job.state = state", True),
        ("settle(job, {'state': state, **outcome})", True),
        ("engine().requeue(ids)", False),
        ("cursor.execute('UPDATE queue_job SET error = %s, state = %s', [1, 2])", False),
    ],
)
def test_a_write_of_a_state_is_seen(source: str, in_queue: bool) -> None:
    assert list(states_written(source, in_queue))


@pytest.mark.parametrize(
    ("source", "in_queue"),
    [
        ("Job.objects.filter(state='done').update(error='')", True),
        ("Run.objects.update(state=RunState.DONE)", False),
        ("{'state': node_state(node)}", False),
        ("cursor.execute('SELECT state FROM queue_job WHERE state = %s', ['done'])", False),
    ],
)
def test_what_reads_a_state_or_writes_another_is_let_be(source: str, in_queue: bool) -> None:
    assert not list(states_written(source, in_queue))


# --- what serves ---------------------------------------------------------------------------


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
    (
        *("arrays", "canvas", "chunking", "fields", "given", "refusals", "shapes", "tables"),
        *("chance", "tasks", "templatetags", "values", "words", "writing"),
    ),
    # (It needs nothing of those; some of them need its words for a text or an error.)
    ("queue",),
    # what a computation is
    (
        *("authored", "computation", "computations", "checks", "declarations", "files"),
        *("forms", "form_faults", "trying"),
    ),
    # a run's life
    ("models", "several", "retention", "removal"),
    ("web",),
    # what Django and people call: addresses, views, commands, and the app that connects it all
    ("views", "urls", "apps", "management"),
)
#: Modules that stay for one version: names in the queue, as the version before knows them.
OF_BEFORE = ("compute/combining.py", "compute/passwords.py")
#: The same of the queue, which one wants to take away with it: docs/architecture.md draws it.
FLOORS_OF_QUEUE = (
    (
        *("call", "coroutines", "defaults", "imported", "kernel", "leftovers", "logs"),
        *("packages", "progress", "schema", "signals", "text", "touches"),
    ),
    ("engines",),
    (
        *("among", "appending", "away", "contents", "room", "sharing", "tally", "transitions"),
        "trials",
    ),
    ("failing", "hooks", "models", "nodes", "pauses", "records"),
    # what asks for tasks, and what runs them
    ("asked", "asking", "broker", "delivery", "in_request", "large", "results", "schedules"),
    (
        *("backend", "bulk", "checks", "chunks", "fanout", "flows", "metrics", "orphans"),
        *("overview", "retention"),
    ),
    ("admin", "node"),
    ("apps", "management"),
)
#: The names that stood between django-q2's loops and our tables, and are gone.
DELETED = (
    *("Flag", "Inbox", "NoCache", "NoQueue", "NodeSentinel", "Outbox", "STOP"),
    *("Timer", "hand_over"),
)
#: Lines of a file.
MOST = 250


def floor_of(path: Path, top: str = "compute", floors: Any = FLOORS) -> int:
    name = path.relative_to(ROOT / top).parts[0].removesuffix(".py")
    (floor,) = (number for number, names in enumerate(floors) if name in names)
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


@pytest.mark.parametrize("path", [path for path in ARROWS if path in QUEUE], ids=name_of)
def test_arrows_in_the_queue_go_down_only(path: Path) -> None:
    floor = partial(floor_of, top="compute/queue", floors=FLOORS_OF_QUEUE)
    for other in ARROWS[path]:
        assert floor(other) <= floor(path), name_of(other)


@pytest.mark.parametrize("path", QUEUE, ids=name_of)
def test_nothing_pretends_to_be_another_s(path: Path) -> None:
    """The node is ours: none of django-q2's loops runs in it, with or without a disguise."""
    assert not {"django_q.cluster", "django_q.monitor", "django_q.pusher"} & set(imported(path))
    assert not any(is_in(name, "django_q.worker", "django_q.timeout") for name in imported(path))
    words = set(re.findall(r"\w+", path.read_text()))
    assert not words & set(DELETED)


def test_there_is_no_circle() -> None:
    """Imports inside a function count, and those for types alone."""
    circle = {name_of(path) for path in ARROWS if path in below(path)}
    assert not circle


def test_circles_are_seen() -> None:
    assert file_of("compute.models.Run") == ROOT / "compute/models/__init__.py"
    assert ROOT / "compute/models/run.py" in below(ROOT / "compute/views.py")
    assert ROOT / "compute/computations/__init__.py" in below(ROOT / "compute/models/run.py")
    assert ROOT / "compute/views.py" not in below(ROOT / "compute/models/run.py")


def test_no_file_is_long() -> None:
    of_compute = [path for path in PRODUCT if path.is_relative_to(ROOT / "compute")]
    assert not {name_of(path) for path in of_compute if len(path.read_text().splitlines()) > MOST}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("fields", ()),
        ("given", ()),
        ("refusals", ()),
        ("arrays", ()),
        ("shapes", ("compute.arrays", "compute.tables", "compute.values")),
        ("tables", ("compute.arrays", "compute.values")),
        ("web/lines", ("compute.web.pictures",)),
        ("web/tables", ()),
        ("values", ()),
        ("words", ()),
        ("writing", ("compute.values",)),
        (
            "computation",
            (
                *(
                    "compute.chunking",
                    "compute.files",
                    "compute.given",
                    "compute.queue.away",
                    "compute.queue.leftovers",
                ),
                *("compute.queue.text", "compute.refusals", "compute.shapes", "compute.words"),
            ),
        ),
        (
            "forms",
            (
                *("compute.chance", "compute.chunking", "compute.computation", "compute.fields"),
                *("compute.files", "compute.given"),
            ),
        ),
        ("files", ("compute.queue.away", "compute.queue.contents")),
        (
            "declarations",
            (
                *("compute.authored", "compute.computation", "compute.form_faults"),
                "compute.forms",
                *("compute.queue.call", "compute.queue.sharing", "compute.queue.text"),
            ),
        ),
        ("models/states", ()),
        ("several", ("compute.models", "compute.queue")),
        ("web/health", ("compute.queue",)),
        ("web/metrics", ("compute.queue",)),
        ("web/room", ("compute.queue",)),
        *((f"web/{name}", ()) for name in ("clients", "masking", "pictures", "replies")),
        *((f"web/{name}", ()) for name in ("slots", "statics")),
        ("web/access", ("compute.web.clients",)),
        ("web/bodies", ("compute.web.replies",)),
        ("web/origins", ("compute.web.replies",)),
        ("web/middleware", ("compute.queue", "compute.web.replies")),
        ("web/shares", ("compute.web.clients",)),
        (
            "web/admin",
            (
                *("compute.computations", "compute.models", "compute.queue", "compute.several"),
                "compute.templatetags",
            ),
        ),
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
