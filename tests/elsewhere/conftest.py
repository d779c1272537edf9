"""Projects of somebody else's, and what they leave running."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.elsewhere.projects import Project, built, empty_database


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """One that this environment's Python runs."""
    made = Project(tmp_path / "project")
    yield made
    made.processes.end()


@pytest.fixture
def project_of(tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    """Makes one that another Python runs."""
    with ExitStack() as stack:

        def make(python: str) -> Project:
            made = Project(tmp_path / "project", python)
            stack.callback(made.processes.end)
            return made

        yield make


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[str]:
    """The settings of an empty database."""
    with empty_database(tmp_path) as settings:
        yield settings
