"""What bin/bench writes: the documents are those of the results, and what a person wrote stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench import charts, report
from bench.report import BEGIN, END
from tests.processes import ROOT

pytestmark = pytest.mark.once

RESULTS = ROOT / "bench" / "results"
DOCUMENTS = ["README.md", "docs/benchmarks.md"]
CHARTS = [f"docs/{name}.svg" for name in charts.PICTURES]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The documents with nothing between the marks, and no chart."""
    (tmp_path / "docs").mkdir()
    for name in DOCUMENTS:
        before, _, rest = (ROOT / name).read_text().partition(BEGIN)
        (tmp_path / name).write_text(f"{before}{BEGIN}\n{END}{rest.partition(END)[2]}")
    return tmp_path


def test_the_documents_are_what_the_results_say(root: Path) -> None:
    report.write(RESULTS, root)
    for name in DOCUMENTS + CHARTS:
        assert (root / name).read_text() == (ROOT / name).read_text(), f"{name}: bin/bench report"


def test_the_readme_gets_ten_lines_and_a_picture() -> None:
    written = (ROOT / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in written.splitlines() if line]
    assert len(lines) <= 12
    assert [line for line in lines if line.startswith("![")] == [lines[1]]


def test_a_measure_alone_makes_its_part(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(RESULTS / "recovery.json", folder)
    report.write(folder, root)
    readme = (root / "README.md").read_text()
    assert "| s until a killed node's task runs again |" in readme
    assert "bench-latency.svg" not in readme
    assert "| ms until a task starts |" not in readme
    assert (root / "docs" / "benchmarks.md").read_text().count("![") == 1


def test_nothing_measured_writes_nothing(root: Path, tmp_path: Path) -> None:
    before = (root / "README.md").read_text()
    report.write(tmp_path / "nowhere", root)
    assert (root / "README.md").read_text() == before


@pytest.mark.parametrize("lost", [BEGIN, END])
def test_a_document_without_its_marks_is_not_touched(root: Path, lost: str) -> None:
    readme = root / "README.md"
    readme.write_text(readme.read_text().replace(lost, ""))
    before = {name: (root / name).read_text() for name in DOCUMENTS}
    with pytest.raises(SystemExit, match=r"README\.md needs a line <!-- written by bin/bench"):
        report.write(RESULTS, root)
    assert {name: (root / name).read_text() for name in DOCUMENTS} == before
    assert not (root / CHARTS[0]).exists()
