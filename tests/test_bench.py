"""What bin/bench writes: the documents are those of the results, and what a person wrote stays."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import charts, fairness, figures, report, run
from bench.__main__ import keep
from bench.measures.fair import shared_ideally
from bench.report import BEGIN, END
from bench.targets import Target, with_runs
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


def test_each_machine_is_told_with_what_was_measured_there() -> None:
    here, there = ({"machine": name, "when": f"2026-11-2{name} 10:00 UTC"} for name in "67")
    assert report.where_and_when({"latency": here, "job": here}) == "on 6 on 2026-11-26"
    assert report.where_and_when({"latency": here, "job": there, "site": here}) == (
        "on 6 on 2026-11-26 (latency), on 7 on 2026-11-27 (job)"
    )
    assert report.where_and_when({"site": there}) == "on 7 on 2026-11-27"


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


# --- rounds, runs and verdicts ---------------------------------------------------------------


def a_run(*values: float, load: float = 0.1, before: Any = None) -> dict[str, Any]:
    """A run of a measure with one figure of one system, which is then the ratio, too."""
    rounds = [{"ours-sqlite": {"x": value}} for value in values]
    made = {"when": "today", "machine": "2 × this", "rounds": rounds, "loads": [0.0, load]}
    return made | ({"before": before} if before else {})


X = figures.spread(figures.standing("ours-sqlite", "x"))
AT_MOST_TWO = Target("latency", "x", 2.0, X)
GOOD, BAD = (1.0, 1.5, 1.5, 1.8, 3.0), (1.0, 2.5, 2.5, 2.8, 3.0)


@pytest.mark.parametrize(
    ("result", "says", "middles"),
    [
        (None, "not measured", []),
        (a_run(), "not measured", []),
        (a_run(*GOOD), "undecided: one run", [1.5]),
        (a_run(*BAD), "undecided: one run", [2.5]),
        (a_run(*GOOD[:4]), "undecided: 4 of 5 rounds", [1.5]),
        (a_run(*GOOD, load=0.3), "undecided: not quiet, the load was 0.30", [1.5]),
        (a_run(*GOOD, before=a_run(*GOOD)), "met", [1.5]),
        (a_run(*BAD, before=a_run(*BAD)), "missed", [2.5]),
        (a_run(*BAD, before=a_run(*GOOD)), "undecided: two runs disagree", [2.5, 1.5]),
        (a_run(*GOOD, before=a_run(*GOOD, load=2)), "undecided: one run", [1.5]),
        (a_run(*GOOD, before=a_run(*GOOD[:3])), "undecided: one run", [1.5]),
        (
            a_run(*GOOD, load=1, before=a_run(*GOOD)),
            "undecided: not quiet, the load was 1.00",
            [1.5],
        ),
    ],
)
def test_two_runs_of_five_rounds_on_a_quiet_machine_decide(
    result: figures.Result | None, says: str, middles: list[float]
) -> None:
    verdict = AT_MOST_TWO.verdict(result)
    assert verdict.says == says
    assert [value.middle for value in verdict.values] == middles


def test_some_figures_take_one_round_and_some_targets_are_a_least() -> None:
    once = Target("standing", "x", 2.0, X, rounds=1)
    assert once.verdict(a_run(1, before=a_run(1))).says == "met"
    least = Target("latency", "x", 2.0, X, at_least=True)
    assert least.verdict(a_run(*BAD, before=a_run(*BAD))).says == "met"
    assert least.verdict(a_run(*GOOD)).off == pytest.approx(2 / 1.5)
    assert least.verdict(a_run(0)).off == float("inf")


def test_of_several_pages_the_worst_counts() -> None:
    def page(*found: Any) -> float | None:
        few_and_many = dict(zip(("500", "500000"), found, strict=False))
        return with_runs("ours-sqlite", "a", "b")({"ours-sqlite": {"with_runs": few_and_many}})

    assert page({"a": 2.0, "b": 1.0}, {"a": 3.0, "b": 4.0}) == 4
    assert page({"a": 2.0, "b": 1.0}) is None, "--quick has fewer runs"
    assert page({"a": 2.0, "b": 1.0}, {"error": "no answer"}) is None
    assert with_runs("ours-sqlite", "a")({}) is None


def test_a_run_of_long_ago_had_its_load_measured_once() -> None:
    assert figures.load_of({"load_before": 0.2}) == 0.2
    assert figures.load_of({"load_before": 0.2, "loads": [0.1, 1.5]}) == 1.5


def test_what_misses_its_target_stands_first_and_says_both_values_of_two_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of(name: str) -> Any:
        return figures.spread(figures.standing("ours-sqlite", name))

    monkeypatch.setattr(
        "bench.targets.listed",
        lambda: [
            Target("latency", "within", 2.0, of("x")),
            Target("latency", "unknown", 2.0, of("y")),
            Target("latency", "beyond", 1.4, of("x")),
            Target("latency", "far beyond", 1.0, of("x")),
        ],
    )
    result = a_run(*GOOD, before=a_run(1.0, 1.0, 1.1, 1.2, 1.2))
    written = report.goals({"latency": result}).splitlines()[2:]
    assert [line.split(" | ")[0] for line in written] == [
        *("| far beyond", "| beyond", "| unknown", "| within"),
    ]
    both = "1.50 (1.00–3.00); before: 1.10 (1.00–1.20) | undecided: two runs disagree |"
    assert written[1] == f"| beyond | ≤ 1.4 | {both}"
    assert written[2] == "| unknown | ≤ 2 | – | not measured |"
    assert report.runs({"latency": result}).splitlines()[2:] == [
        "| latency | today | 2 × this | 5 | 0.10 |",
        "| latency | today | 2 × this | 5 | 0.10 |",
    ]


def test_systems_stand_best_first() -> None:
    result = {"rounds": [{"a": {"x": 2}, "b": {"x": 1}, "c": {"error": "no"}, "d": {"x": 3}}]}

    def figure(name: str) -> figures.Figure:
        return figures.standing(name, "x")

    assert figures.ranked(result, "abcd", figure) == ["b", "a", "d", "c"]
    assert figures.ranked(result, "abcd", figure, most=True) == ["d", "a", "b", "c"]


def test_a_run_is_kept_with_the_one_that_it_is_held_against(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"

    def kept(run: dict[str, Any]) -> list[Any]:
        keep(path, run)
        found = json.loads(path.read_text())
        before = found.get("before", {})
        assert "before" not in before, "two are enough"
        return [each.get("number") for each in (found, before)]

    def numbered(number: int, **more: Any) -> dict[str, Any]:
        return {**a_run(*GOOD, **more), "number": number}

    assert kept(numbered(1)) == [1, None]
    assert kept(numbered(2)) == [2, 1]
    assert kept(numbered(3, load=1.0)) == [3, 2]
    assert kept(numbered(4)) == [4, 2], "the third decided nothing"
    assert kept(numbered(5, load=1.0)) == [5, 4]
    assert kept(numbered(6, load=1.0)) == [6, 4]


def test_a_round_waits_for_a_quiet_machine_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("bench.run.time.sleep", slept.append)
    loads = iter([1.5, 0.296, 0.2])
    assert run.rest(600, lambda: next(loads)) == 0.2
    assert slept == [2, 2]
    assert "waiting until the load is under 0.3, up to 600 s; it is 1.50" in capsys.readouterr().err
    assert run.rest(0.001, lambda: 1.234) == 1.23
    assert "the load is still 1.23: this round decides nothing" in capsys.readouterr().err
    assert run.rest(0, lambda: 1.5) == 1.5
    assert run.rest(600, lambda: 0.1) == 0.1
    assert not capsys.readouterr().err


def test_each_round_tells_its_load(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([0.1, 0.25])
    monkeypatch.setattr(run, "rest", lambda wait_s: next(loads))
    bench = run.Bench(None, False, 2, 2, ["ours-sqlite", "rq-redis"], None, 600, [])
    rounds = bench.interleave(lambda name, number: {"number": number})
    assert [round_["rq-redis"]["number"] for round_ in rounds] == [0, 1]
    assert bench.loads == [0.1, 0.25]


# --- fair shares -----------------------------------------------------------------------------


AT_WORK = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    print("at work", flush=True)
    time.sleep(600)
finally:
    print("its nodes are stopped", file=sys.stderr)
"""


def test_a_session_that_is_at_work_stops_its_nodes_before_it_ends(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", AT_WORK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "at work\n"
        run.end(process, patience_s=0.1)
        log.seek(0)
        assert log.read() == "its nodes are stopped\n"
    assert process.returncode == 143


def test_a_goal_is_met_missed_or_not_measured() -> None:
    found = {
        "ours-sqlite": {
            "one_giant": {"times": [1, 2, 9]},
            "weights": {"clients": 73, "runs": 80.5},
        },
        "ours-postgres": {"one_giant": {"error": "it ended unheard"}},
    }
    head, rows = fairness.rows({"options": {"chunks": 10_000}, "rounds": [found]})
    assert head == ["", "target", "sumsite, SQLite", "", "sumsite, Postgres", ""]
    by_name = {says: rest for says, *rest in rows}
    small = "8 chunks, until they are done, ÷ alone: behind 10,000 of another client"
    assert by_name[small] == ["≤ 3", "2", "met", "–", "not measured"]
    weights = "weight 4 against 1, % of the worker seconds"
    assert by_name[f"{weights}: two clients"][1:3] == ["73", "missed"]
    assert by_name[f"{weights}: two runs of a client"][1:3] == ["80.50", "met"]


def test_an_ideal_share_is_everything_alone_and_half_beside_one() -> None:
    alone, beside = shared_ideally([10.0], 12.0, 10, [4, 4])
    assert alone == pytest.approx(40, rel=0.01)
    assert beside == pytest.approx(40 - 12, rel=0.01), "the newcomer is through within six seconds"
