"""The settings of a project, as its variables make them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

from tests.processes import ROOT

SETTINGS = ROOT / "sumsite" / "settings.py"
SECRET = {"SECRET_KEY": "s" * 60}
POSTGRES = {"DATABASE_URL": "postgres://user:word@db.example:5432/name"}
TESTING = {"PYTEST_VERSION": "9"}


def read(variables: dict[str, str], folder: Path = ROOT) -> dict[str, Any]:
    """The settings of a project in `folder` where these variables, and no others, are set."""
    code = compile(SETTINGS.read_text(), str(SETTINGS), "exec")
    namespace = {"__file__": str(folder / "sumsite" / "settings.py"), "__name__": "settings"}
    with mock.patch.dict(os.environ, variables, clear=True):
        exec(code, namespace)  # noqa: S102
    return {name: value for name, value in namespace.items() if name.isupper()}


def settings_with(**variables: str) -> dict[str, Any]:
    return read({**TESTING, **SECRET, **variables})
