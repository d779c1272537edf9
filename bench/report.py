"""Results as people read them: charts, docs/benchmarks.md, and in short the README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import charts, fairness, figures, targets
from bench.figures import Figure, Result, Spread, found
from bench.system import ROOT
from bench.systems import CONTENDERS, OURS, SYSTEMS, label

BEGIN, END = "<!-- written by bin/bench, from bench/results -->", "<!-- end of bin/bench -->"
#: Those that the README compares; docs/benchmarks.md has all.
COMPARED = (*CONTENDERS, "django-q2-sqlite")


def write(folder: Path, root: Path = ROOT) -> None:
    """Charts and both documents, of what has been measured."""
    results = figures.load(folder)
    if not results:
        return
    documents = {"docs/benchmarks.md": chapter(results), "README.md": summary(results)}
    texts = {
        root / name: with_block((root / name).read_text(), written, name)
        for name, written in documents.items()
    }
    charts.write(results, root / "docs")
    for document, text in texts.items():
        document.write_text(text)


def with_block(document: str, written: str, name: str) -> str:
    """The document with this between the marks; what stands around them is a person's."""
    if document.count(BEGIN) != 1 or END not in document.partition(BEGIN)[2]:
        raise SystemExit(f"{name} needs a line {BEGIN} and, after it, a line {END}")
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{written}\n{END}{rest.partition(END)[2]}"


def chapter(results: dict[str, Result]) -> str:
    """All that was measured, for docs/benchmarks.md."""
    pictures = [
        f"![{says}]({name}.svg)"
        for name, says in charts.PICTURES.items()
        if name.removeprefix("bench-") in results
    ]
    parts = [
        f"{machine(results)} A figure is the median of the rounds, with the lowest and the "
        "highest in brackets; a ratio is taken within each round.",
        *pictures,
        *sections(results),
    ]
    return "\n\n".join(parts)


def summary(results: dict[str, Result]) -> str:
    """One picture and a small table, for the README."""
    count = len(names(*results.values()))
    parts = [
        f"Measured by `bin/bench` {where_and_when(results)}, with two "
        f"workers each; [docs/benchmarks.md](docs/benchmarks.md) has {count} "
        "systems, their versions, the spreads and further measures."
    ]
    if "latency" in results:
        parts.append(f"![{charts.PICTURES['bench-latency']}](docs/bench-latency.svg)")
    rows = [
        [says, *(cell(results, measure, figure, name) for name in COMPARED)]
        for says, measure, figure in IN_SHORT
        if measure in results
    ]
    parts.append(table(["", *map(label, COMPARED)], rows))
    return "\n\n".join(parts)


def cell(results: dict[str, Result], measure: str, figure: Any, name: str) -> str:
    """The median of a system; "never" if its killed task did not come back."""
    result = results[measure]
    value = figures.spread(figure(name))(result)
    if value:
        return number(value.middle)
    came = measure == "recovery" and name in names(result) and not trouble(result, name)
    return "never" if came else "–"


def by_the_pool(name: str) -> Figure:
    def figure(round_: dict[str, Any]) -> float | None:
        own, pool = (figures.job(each, "auto")(round_) for each in (name, "pool"))
        return own / pool if own is not None and pool else None

    return figure


#: The README's rows: what a row says, of which measure, and a system's figure.
IN_SHORT: list[tuple[str, str, Any]] = [
    ("ms until a task starts", "latency", lambda name: figures.latency(name, "start")),
    ("ms until its result is visible", "latency", lambda name: figures.latency(name, "visible")),
    (
        "tasks a second, queued one by one",
        "throughput",
        lambda name: figures.throughput(name, "one_by_one"),
    ),
    (
        "tasks a second, queued at once",
        "throughput",
        lambda name: figures.throughput(name, "fan_out"),
    ),
    ("a split sum ÷ a bare process pool", "job", by_the_pool),
    ("MB of memory of an idle node", "standing", lambda name: figures.standing(name, "pss_mb")),
    ("s until a killed node's task runs again", "recovery", figures.recovery),
]


def where_and_when(results: dict[str, Result]) -> str:
    """The machine and the day of the README's rows; of several, which rows are from where."""
    rows = [measure for _, measure, _ in IN_SHORT if measure in results]
    found: dict[str, list[str]] = {}
    for measure in dict.fromkeys(rows or results):
        result = results[measure]
        place = f"on {result['machine']} on {result['when'].split()[0]}"
        found.setdefault(place, []).append(measure)
    if len(found) == 1:
        return "".join(found)
    return ", ".join(f"{place} ({', '.join(measures)})" for place, measures in found.items())


def leading(results: dict[str, Result]) -> Result:
    """Whose machine and versions are told."""
    return next(results[name] for name in SECTIONS if name in results)


def machine(results: dict[str, Result]) -> str:
    first = leading(results)
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    return f"Measured on {first['machine']}, {first['when']}: {versions}."


def text(folder: Path) -> str:
    results = figures.load(folder)
    return "\n\n".join(sections(results)) if results else "nothing measured yet"


def sections(results: dict[str, Result]) -> list[str]:
    parts = [goals(results), runs(results)]
    for name, section in SECTIONS.items():
        if name in results:
            parts.append(section(results[name]))
    return parts


# --- tables -----------------------------------------------------------------------------


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: Spread | None, digits: int | None = None) -> str:
    if value is None:
        return "–"
    middle, low, high = (number(each, digits) for each in value[:3])
    return middle if value.rounds == 1 else f"{middle} ({low}–{high})"


def number(value: float, digits: int | None = None) -> str:
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def goals(results: dict[str, Result]) -> str:
    """The targets: first what misses them, the farthest first, then what is not measured."""
    rows = []
    for target in targets.listed():
        verdict = target.verdict(results.get(target.measure))
        limit = f"{'≥' if target.at_least else '≤'} {target.limit:g}"
        values = "; before: ".join(shown(value, 2) for value in verdict.values) or "–"
        off = 1.0 if verdict.off is None else verdict.off
        rows.append((-off, [target.says, limit, values, verdict.says]))
    rows.sort(key=lambda row: row[0])
    return table(["measure", "target", "measured", ""], [cells for _, cells in rows])


def runs(results: dict[str, Result]) -> str:
    """When each measure was made, how often, and how busy the machine was before the rounds."""
    rows = []
    for name in SECTIONS:
        for run in (results.get(name), results.get(name, {}).get("before")):
            if run:
                load = f"{figures.load_of(run):.2f}"
                rows.append([name, run["when"], run["machine"], str(len(run["rounds"])), load])
    head = ["measure", "when", "machine", "rounds", "highest load before a round"]
    return table(head, rows)


def names(*results: Result) -> list[str]:
    """The systems that were measured."""
    there = {name for result in results for round_ in result["rounds"] for name in round_}
    return [name for name in SYSTEMS if name in there]


def trouble(result: Result, name: str) -> str:
    """Why a system has no figures, if it has none."""
    errors = [found(round_, name, "error") for round_ in result["rounds"] if name in round_]
    return f"did not run here: {errors[0]}" if errors and all(errors) else ""


def by_system(result: Result, head: list[str], columns: Any, most: bool = False) -> str:
    """A row for each system, the best first, by the first column: the least there, or the most;
    `columns` gives the figures of one by its name."""
    rows = []
    for name in figures.ranked(result, names(result), lambda name: columns(name)[0], most):
        bad = trouble(result, name)
        values = [shown(figures.spread(figure)(result)) for figure in columns(name)]
        rows.append([label(name), *([bad] + [""] * (len(values) - 1) if bad else values)])
    return table(["", *head], rows)


def latency(result: Result) -> str:
    rows = []
    by_start = figures.ranked(result, names(result), lambda name: figures.latency(name, "start"))
    for name in by_start:
        cells: list[str] = []
        for what in ("start_ms", "visible_ms"):
            samples = [
                each for round_ in result["rounds"] for each in found(round_, name, what) or ()
            ]
            middle = figures.spread(figures.latency(name, what.removesuffix("_ms")))(result)
            cells += [shown(middle)]
            cells += [
                number(figures.percentile(samples, share)) if samples else "–"
                for share in (0.95, 0.99)
            ]
        rows.append(
            [label(name), *cells, str(len(samples))]
            if samples
            else [label(name), trouble(result, name)] + [""] * 6
        )
    head = ["", "start p50", "p95", "p99", "result p50", "p95", "p99", "samples"]
    return (
        "**Latency** in milliseconds, from enqueueing one task on an idle system to its start, and "
        "to its result being visible to the process that enqueued it.\n\n" + table(head, rows)
    )


def throughput(result: Result) -> str:
    options = result["options"]

    def columns(name: str) -> list[Figure]:
        return [figures.throughput(name, part) for part in ("one_by_one", "fan_out")]

    return (
        f"**Throughput**: no-op tasks a second, end to end, {options['tasks']:,} of them (or what "
        f"was done after {options['seconds']} s).\n\n"
        + by_system(result, ["one by one", "as one fan-out"], columns, most=True)
    )


def job(result: Result) -> str:
    sizes = [size for size in result["sizes"] if any(size in round_ for round_ in result["rounds"])]
    n = result["options"]["n"]
    rows = []
    for name in ("pool", "ours-sqlite", "ours-postgres", "celery-redis"):
        cells = []
        for size in sizes:
            own = figures.job(name, size)
            cell = shown(figures.spread(own)(result))
            by = figures.ratio(own, figures.job("pool", size))(result)
            cells.append(cell if name == "pool" or by is None else f"{cell}, ÷ pool {shown(by, 2)}")
        rows.append(["process pool" if name == "pool" else label(name), *cells])
    head = [
        "",
        *[
            f"{-(-n // result['sizes'][size]):,} chunks"
            + (" (automatic)" if size == "auto" else "")
            for size in sizes
        ],
    ]
    return (
        f"**The job itself**: the sum up to {n:,}, in seconds, beside a bare `ProcessPoolExecutor` "
        "over the same ranges; of Celery, a chord.\n\n" + table(head, rows)
    )


def growth(result: Result) -> str:
    counts = list(result["options"]["chunks"])
    there = [name for name in OURS if name in result["rounds"][0]]
    rows = [
        [
            label(name),
            *[shown(figures.spread(figures.chunk(name, count))(result)) for count in counts],
        ]
        for name in there
    ]
    parts = [
        "**Growth**: milliseconds that a chunk of next to no work costs in a run of so many.",
        table(["", *[f"{int(count):,} chunks" for count in counts]], rows),
        "Milliseconds to start a run, to check a running one, and to show its page and the first "
        "page, by the chunks of the run and the finished tasks in the tables (steps between: "
        "`bench/results/growth.json`).",
    ]
    rows = []
    for name in there:
        pages = found(result["rounds"][0], name, "pages") or {}
        for old in list(pages)[:: max(1, len(pages) - 1)]:  # the fewest and the most
            for count, values in pages[old].items():
                if isinstance(values, dict):
                    cells = [number(values[what]) for what in ("start", "check", "page", "home")]
                    rows.append([label(name), f"{int(old):,}", f"{int(count):,}", *cells])
                else:
                    rows.append(
                        [label(name), f"{int(old):,}", f"{count}: {values}", "", "", "", ""]
                    )
    parts.append(table(["", "old tasks", "chunks", "start", "check", "page", "first page"], rows))
    return "\n\n".join(parts)


def site(result: Result) -> str:
    rows = []
    for name in names(result):
        for what, says in (("home", "first page"), ("check", "page of a run")):
            cells = []
            for phase in ("idle", "computing"):
                for share in (0.5, 0.95):
                    cells.append(
                        shown(figures.spread(figures.answer(name, phase, what, share))(result))
                    )
            by = figures.ratio(
                figures.answer(name, "computing", what, 0.95),
                figures.answer(name, "idle", what, 0.95),
            )(result)
            rows.append([label(name), says, *cells, shown(by, 2)])
    head = ["", "", "idle p50", "p95", "computing p50", "p95", "p95 ÷ p95"]
    said = (
        "**The site under computation**: milliseconds of a request while every core computes, and "
        "while none does.\n\n" + table(head, rows)
    )
    beside = beside_results(result)
    return f"{said}\n\n{beside}" if beside else said


#: Pages that are asked for beside large results, and what they are called.
BESIDE = {"home": "first page", "list": "list", "page": "page of another run", "check": "its check"}


def beside_results(result: Result) -> str:
    """Pages with large results of others in the database, against none; empty if not measured."""
    rows = []
    for name in names(result):
        for what, says in BESIDE.items():
            by = [
                figures.ratio(
                    figures.beside(name, "with", what, share),
                    figures.beside(name, "without", what, share),
                )(result)
                for share in (0.5, 0.95)
            ]
            if not by[0]:
                continue
            last = found(result["rounds"][-1], name, "beside_results")
            pairs = [
                f"{last['with'][what][figure]:,} / {last['without'][what][figure]:,}"
                for figure in ("bytes", "statements")
            ]
            p50 = figures.spread(figures.beside(name, "with", what, 0.5))(result)
            rows.append([label(name), says, shown(p50), *(shown(each, 2) for each in by), *pairs])
    if not rows:
        return ""
    head = ["", "", "p50, ms", "p50 ÷ p50", "p95 ÷ p95", "bytes", "statements"]
    return (
        "**Beside large results**: pages with a result of 100 MB and seven of 6 MB in the database "
        "that are of other runs, against none.\n\n" + table(head, rows)
    )


def standing(result: Result) -> str:
    whats = ("cpu_percent", "pss_mb", "processes", "ready_seconds")

    def columns(name: str) -> list[Figure]:
        return [figures.standing(name, what) for what in whats]

    head = ["CPU, % of a core", "memory, MB", "processes", "ready after, s"]
    parts = [
        "**Standing cost** of an idle node with two workers, without the server (Redis, Postgres) "
        "that it talks to. Memory is what its processes have to themselves and their share of the "
        "rest (PSS); ready means that a task has started.",
        by_system(result, head, columns),
    ]
    said = [
        f"{label(name)} {found(rates, 'writes_per_second')} that write and "
        f"{found(rates, 'reads_per_second')} others"
        for name, rates in result["statements"].items()
    ]
    parts.append(f"SQL statements a second of an idle node: {'; '.join(said)}.")
    clone = result.get("clone")
    if clone:
        parts.append(
            "From `bin/dev` in a fresh clone, with what pip downloads, to the first page it takes "
            f"{clone['first_page_seconds']} s, and to the first result "
            f"{clone['first_result_seconds']} s."
        )
    return "\n\n".join(parts)


def recovery(result: Result) -> str:
    seconds = result["options"]["seconds"]
    rows = []
    for name in figures.ranked(result, names(result), figures.recovery):
        bad = trouble(result, name)
        value = figures.spread(figures.recovery(name))(result)
        rows.append([label(name), bad or (shown(value) if value else "never")])
    return (
        "**Recovery**: seconds from a node's SIGKILL until its task runs again on another, at the "
        f'defaults of each. "never" is not within {seconds} s.\n\n' + table(["", "seconds"], rows)
    )


def fair(result: Result) -> str:
    return (
        "**Fair shares**, on two nodes of two workers each, of chunks that sleep 0.2 s, watched "
        f"for up to {2 * result['options']['seconds']} s, on {result['when'].split()[0]} ([how it "
        "works](sharing.md)).\n\n" + table(*fairness.rows(result))
    )


SECTIONS = {
    "latency": latency,
    "throughput": throughput,
    "job": job,
    "growth": growth,
    "site": site,
    "standing": standing,
    "recovery": recovery,
    "fair": fair,
}
