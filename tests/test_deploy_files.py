"""The files that a host or a process manager reads."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, environment


def lines(name: str) -> dict[str, str]:
    """The processes of a Procfile, in order."""
    return dict(re.findall(r"^([\w-]+): (.+)$", (ROOT / name).read_text(), re.M))


@pytest.fixture(scope="module")
def app() -> Any:
    return json.loads((ROOT / "app.json").read_text())


# --- Procfile -------------------------------------------------------------------------


def test_the_procfile_has_web_worker_and_release() -> None:
    assert list(lines("Procfile")) == ["web", "worker", "release"]


def test_servers_are_executed_so_that_signals_reach_them() -> None:
    assert lines("Procfile")["web"] == "exec gunicorn sumsite.wsgi"
    assert lines("Procfile")["worker"] == "exec python manage.py qcluster"


def test_the_development_procfile_is_the_same_without_release() -> None:
    production = lines("Procfile")
    del production["release"]
    assert list(lines("Procfile.dev").items()) == list(production.items())


@pytest.mark.parametrize("name", ["release", "qcluster"])
def test_the_commands_of_the_procfile_exist(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "help", name],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


# --- app.json -------------------------------------------------------------------------


def test_the_formation_names_processes_of_the_procfile(app: Any) -> None:
    assert set(app["formation"]) == set(lines("Procfile")) - {"release"}
    assert all(process["quantity"] >= 1 for process in app["formation"].values())


def test_the_app_brings_its_database_and_nothing_else(app: Any) -> None:
    (addon,) = app["addons"]
    assert addon.startswith("heroku-postgresql")
    assert app["buildpacks"] == [{"url": "heroku/python"}]


def test_secrets_are_generated(app: Any) -> None:
    for name in ("SECRET_KEY", "ADMIN_PASSWORD"):
        assert app["env"][name]["generator"] == "secret"
        assert "value" not in app["env"][name]


def test_every_variable_that_is_set_is_one_the_site_reads(app: Any) -> None:
    documented = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)
    assert set(app["env"]) <= set(documented)
    assert all(variable["description"] for variable in app["env"].values())


def test_the_app_has_a_name_and_says_what_it_is(app: Any) -> None:
    assert app["name"] == "sumsite"
    assert app["description"].endswith(".")


# --- .python-version ------------------------------------------------------------------


def test_the_python_is_the_one_that_everything_else_names() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    assert version == "3.11"
    assert f"python{version}" in (ROOT / "bin" / "setup.sh").read_text()
    assert f'python_version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert f"{sys.version_info.major}.{sys.version_info.minor}" == version


# --- gunicorn.conf.py -----------------------------------------------------------------


def gunicorn(**variables: str) -> dict[str, Any]:
    """gunicorn's settings, read in a process with these variables."""
    program = (
        "import json, runpy\n"
        "values = runpy.run_path('gunicorn.conf.py')\n"
        "print(json.dumps({k: v for k, v in values.items() if type(v) in (str, int, bool, list)}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(PYTHONPATH=ROOT, **variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_in_production_gunicorn_listens_to_everyone_and_reloads_nothing() -> None:
    conf = gunicorn(DEBUG="0", PORT="5000")
    assert conf["bind"] == "0.0.0.0:5000"
    assert conf["reload"] is False
    assert conf["reload_extra_files"] == []
    assert conf["graceful_timeout"] < 30, "Heroku kills 30 s after it has asked"


def test_in_development_gunicorn_listens_to_this_machine_and_watches_templates() -> None:
    conf = gunicorn(DEBUG="1")
    assert conf["bind"] == "127.0.0.1:8000"
    assert conf["reload"] is True
    watched = {Path(path) for path in conf["reload_extra_files"]}
    assert watched == {path.relative_to(ROOT) for path in ROOT.glob("templates/**/*.html")}
    assert conf["graceful_timeout"] < 5, "honcho kills 5 s after Ctrl-C"


@pytest.mark.parametrize("debug", ["0", "1"])
def test_gunicorn_kills_a_long_request_as_the_tutorial_tells(debug: str) -> None:
    conf = gunicorn(DEBUG=debug)
    assert (conf["worker_class"], conf["timeout"], conf["workers"]) == ("sync", 30, 3)
    assert conf["control_socket_disable"] is True
    conf = gunicorn(DEBUG=debug, WEB_TIMEOUT="7", WEB_CONCURRENCY="2")
    assert (conf["timeout"], conf["workers"]) == (7, 2)


def test_gunicorn_takes_the_file() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", "sumsite.wsgi"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# --- what a person types --------------------------------------------------------------


@pytest.mark.parametrize("name", ["dev", "test", "check"])
def test_a_command_is_a_plain_shell_script_that_can_be_executed(name: str) -> None:
    script = ROOT / "bin" / name
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", script]).returncode == 0


def test_manage_py_can_be_executed() -> None:
    assert os.access(ROOT / "manage.py", os.X_OK)
    assert callable(runpy.run_path(str(ROOT / "manage.py"))["main"])
