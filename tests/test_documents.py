"""The documents: their links lead somewhere, and what they name is there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from tests.processes import ROOT, tracked

pytestmark = pytest.mark.once

DOCUMENTS = [name for name in tracked() if name.endswith(".md")]
#: Documents that are still to be written; take a name out here when it is there.
TO_COME: set[str] = set()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
#: The project's own commands, and those of django-q2 that it stands for.
APPS = ("compute", "compute.queue")
OF_DJANGO_Q2 = {"qinfo", "qmonitor"}


def prose(text: str) -> str:
    """Without blocks of code, in which nothing is a link or a heading."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(name: str) -> list[str]:
    return re.findall(r"^#+ (.+?)\s*$", prose((ROOT / name).read_text()), re.MULTILINE)


def anchors(name: str) -> set[str]:
    """As GitHub makes them: a heading that comes again gets a number."""
    seen: Counter[str] = Counter()
    made = set()
    for heading in headings(name):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made


def links(name: str) -> list[str]:
    text = prose((ROOT / name).read_text())
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def broken(name: str) -> Iterator[str]:
    for link in links(name):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent.joinpath(path).resolve() if path else ROOT / name
        known = str(target.relative_to(ROOT))
        if not target.exists():
            if known not in TO_COME:
                yield link
        elif anchor and anchor not in anchors(known):
            yield link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    assert list(broken(name)) == []


def test_a_document_to_come_is_not_there_yet() -> None:
    assert [name for name in TO_COME if (ROOT / name).exists()] == [], "take it out of TO_COME"


def test_every_document_is_reached_from_the_readme() -> None:
    reached, new = set[str](), {"README.md"}
    while new:
        reached |= new
        targets = {
            str((ROOT / name).parent.joinpath(link.partition("#")[0]).resolve().relative_to(ROOT))
            for name in new
            for link in links(name)
            if link.partition("#")[0].endswith(".md")
        }
        new = targets - reached - TO_COME
    assert set(DOCUMENTS) <= reached


def test_chapters_that_other_files_point_to_are_there() -> None:
    found = 0
    for name in tracked():
        if Path(name).suffix in (".py", ".yaml", ".md", ".html", ".sh", ""):
            text = (ROOT / name).read_text()
            for chapter, document in re.findall(r'"([A-Z][^"\n]+)" in (docs/\w+\.md)', text):
                assert chapter in headings(document), f"{name}: {chapter}"
                found += 1
    assert found >= 2


def test_every_file_that_is_named_is_there() -> None:
    folders = r"(?:bin|bench|compute|deploy|docs|sumsite|templates|tests)"
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        for path in re.findall(rf"(?<![\w/.-]){folders}/[\w./-]*[\w/]", prose(text)):
            there = (ROOT / path).exists() or (ROOT / name).parent.joinpath(path).exists()
            made = path in TO_COME or path.endswith("/.venv")
            assert there or made, f"{name}: {path}"


def test_the_readme_can_be_read_in_one_sitting() -> None:
    """420 lines; what is looked up stands in docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 440


# --- addresses ------------------------------------------------------------------------


def named_addresses() -> list[str]:
    rows = re.findall(r"^\| (`/.*?) \|", REFERENCE, re.MULTILINE)
    return [address for row in rows for address in re.findall(r"`(/[^`]*)`", row)]


def served_addresses(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", str(pattern.pattern))
        elif not str(pattern.pattern):
            yield from served_addresses(pattern.url_patterns)
        else:
            yield f"/{pattern.pattern}"


def test_the_reference_has_every_address() -> None:
    named = named_addresses()
    assert len(set(named)) == len(named)
    redirected = "/admin/password_change/"
    assert set(named) | {redirected} == set(served_addresses(get_resolver().url_patterns))
    for address in named:
        resolve(
            address.replace("<name>", "sum")
            .replace("<uidb64>/<token>", "MQ/set-password")
            .replace("<upload>", "0")
        )


# --- commands -------------------------------------------------------------------------


def named_commands() -> list[str]:
    """The commands of the reference: `sum` of `./manage.py sum N`, `bin/dev`."""
    return re.findall(r"^\| `(?:\./manage\.py (?=\w)|(?=bin/))([\w/]+)", REFERENCE, re.MULTILINE)


def test_the_reference_has_every_command() -> None:
    ours = {name for name, app in get_commands().items() if app in APPS}
    in_bin = {f"bin/{path.name}" for path in (ROOT / "bin").iterdir() if not path.suffix}
    assert sorted(named_commands()) == sorted(ours | OF_DJANGO_Q2 | in_bin)


def test_every_command_that_is_named_is_there_and_takes_these_options() -> None:
    found = 0
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        for command, rest in re.findall(r"manage\.py ([a-z]\w*)([^`|;&\n]*)", text):
            app = get_commands()[command]
            made = load_command_class(app, command) if isinstance(app, str) else app
            usage = made.create_parser("manage.py", command).format_help()
            for option in re.findall(r"--[a-z-]+", rest):
                assert re.search(rf"{option}(?![\w-])", usage), f"{name}: {command} {option}"
                found += 1
    assert found > 15


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("program", "module"), [("chaos", "tests.chaos.driver"), ("bench", "bench")]
)
def test_options_of_the_longer_programs(program: str, module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    usage = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = {
        option
        for name in DOCUMENTS
        for rest in re.findall(rf"bin/{program}([^`|\n]*)", (ROOT / name).read_text())
        for option in re.findall(r"--[a-z-]+", rest)
    }
    assert named
    assert [option for option in named if option not in usage] == []


def test_bin_test_takes_these_options(pytestconfig: pytest.Config) -> None:
    (row,) = re.findall(r"^\| `bin/test` .*$", REFERENCE, re.MULTILINE)
    options = re.findall(r"`(--[a-z]+)`", row)
    assert options == ["--long", "--quick", "--changed"]
    assert not [option for option in options if pytestconfig.getoption(option) is pytest]


# --- settings -------------------------------------------------------------------------


def test_defaults_that_documents_give_are_those_of_the_example() -> None:
    example = dict(re.findall(r"^([A-Z_0-9]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    found = 0
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        for variable, default in re.findall(
            r"`([A-Z_]{4,})`(?: \(|, | \| )([\d,]+)(?: seconds\b|[ )|;])", text
        ):
            if example.get(variable) and not name.startswith("CHANGELOG"):
                assert default.replace(",", "") == example[variable], f"{name}: {variable}"
                found += 1
    assert found >= 8
