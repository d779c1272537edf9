"""`manage.py startcomputation NAME`: a computation of one's own, and its test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from compute.computations import all_computations
from compute.declarations import is_name
from compute.management.terminal import DatabaseCommand

TEMPLATES = Path(__file__).parent.parent / "startcomputation"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: The kinds of examples, by the names of their folders of templates, each with a word on it.
KINDS = {
    "number": "adds up, and comes to one number",
    "table": "comes to a table, which one takes away",
    "picture": "draws a picture, a part in each chunk",
    "files": "reads a file that is uploaded",
    "chance": "makes use of chance that can be repeated",
    "http": "waits for a server, for several pages at a time",
}


class Command(DatabaseCommand):
    help = (
        "Writes compute/computations/NAME.py and its test, to be changed into your own. The kinds: "
        + "; ".join(f"{kind} {what}" for kind, what in KINDS.items())
        + "."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="small letters, digits, hyphens")
        parser.add_argument(
            "--kind", choices=KINDS, default="number", help="what to begin with; number if left out"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        module = name.replace("-", "_")
        if not (NAME.fullmatch(name) and is_name(name)):
            raise CommandError(
                "Give a name of small letters, digits and hyphens that begins with a letter, for "
                "example my-numbers."
            )
        if keyword.iskeyword(module):
            raise CommandError(f"{name} is a word of Python; take another name: my-{name}.")
        computations = Path(settings.BASE_DIR, "compute", "computations")
        files = {
            computations / f"{module}.py": "computation.py-tpl",
            Path(settings.BASE_DIR, "tests", "computations", f"test_{module}.py"): "test.py-tpl",
        }
        for path in files:
            if path.exists() or name in all_computations():
                raise CommandError(f"There is a computation {name} already; take another name.")
        names = {
            "name": name,
            "module": module,
            "function": f"{module}_of",
            "title": module.title().replace("_", ""),
            "constant": module.upper(),
        }
        for path, template in files.items():
            text = (TEMPLATES / options["kind"] / template).read_text()
            try:
                path.write_text(Template(text).substitute(names))
            except OSError as error:
                raise CommandError(f"This file can't be written: {error}.") from error
            self.stdout.write(f"wrote {path.relative_to(settings.BASE_DIR)}")
        self.stdout.write(f"Its page: /compute/{name}/. Now write there what it shall do.")
