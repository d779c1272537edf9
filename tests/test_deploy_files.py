"""The files that a host or a process manager reads."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from glob import glob
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def app_variables() -> dict[str, str]:
    """What a host that reads app.json sets: generated secrets and given values."""
    variables = json.loads((ROOT / "app.json").read_text())["env"]
    return {
        name: "generated-" * 6 if variable.get("generator") == "secret" else variable["value"]
        for name, variable in variables.items()
    }


def test_the_app_is_as_the_host_documents_it(app: Any) -> None:
    schema = json.loads((ROOT / "tests" / "app.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    assert list(validator.iter_errors(app)) == []
    for mistake in (
        {"formations": {}},
        {"env": {"Q_WORKERS": {"value": 1}}},
        {"formation": {"web": {"quantity": "1"}}},
        {"addons": ["Heroku Postgres"]},
    ):
        assert not validator.is_valid({**app, **mistake}), mistake


def test_what_the_default_formation_keeps_open_fits_twice_into_a_small_plan(app: Any) -> None:
    """As the documentation counts; tests/test_deploy.py counts what there really is."""
    variables, formation = app_variables(), app["formation"]
    web = formation["web"]["quantity"] * int(variables["WEB_CONCURRENCY"])
    nodes = formation["worker"]["quantity"] * (3 + int(variables["Q_WORKERS"]))
    assert 2 * (web + nodes) <= 20


# --- requirements ---------------------------------------------------------------------


def ranges(name: str) -> dict[str, Requirement]:
    """What a .in file asks for, by canonical name."""
    text = (ROOT / name).read_text()
    asked = [Requirement(line.partition("#")[0]) for line in re.findall(r"^[A-Za-z].*", text, re.M)]
    return {canonicalize_name(each.name): each for each in asked}


def pins(name: str) -> set[tuple[str, str]]:
    """Packages and their versions; of some there is one for older Pythons and one for newer."""
    text = (ROOT / name).read_text()
    return set(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.M))


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_every_range_is_pinned_and_every_pin_has_its_hashes(name: str) -> None:
    pinned = pins(f"{name}.txt")
    asked = ranges(f"{name}.in")
    assert asked
    for package, requirement in asked.items():
        versions = [version for name, version in pinned if name == package]
        assert versions, f"{package} is not pinned: bin/requirements"
        assert all(map(requirement.specifier.contains, versions)), "bin/requirements"
        assert len(requirement.specifier) == 2, f"{requirement}: from which version, below which?"
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / f"{name}.txt").read_text(), flags=re.M)[1:]
    assert len(entries) == len(pinned)
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_pins_name_no_index_and_no_machine(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"index|find-links|://|(?<![\w.])/\w", text.replace("bin/requ", ""))


def test_development_has_the_packages_of_production() -> None:
    production = pins("requirements.txt")
    assert len(production) > 10
    assert production <= pins("requirements-dev.txt")


# --- Dockerfile -----------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: name and the rest of the line."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(r"^([A-Z]+) +(.+)$", text, re.M)


def test_the_image_is_built_in_two_stages_and_runs_as_nobody_in_particular() -> None:
    names = [name for name, _ in instructions()]
    assert names.count("FROM") == 2
    known = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert set(names) <= known
    version = (ROOT / ".python-version").read_text().strip()
    images = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert set(images) == {f"python:{version}-slim-bookworm"}
    assert names.index("USER") < names.index("CMD")
    (user,) = [rest for name, rest in instructions() if name == "USER"]
    assert int(user) > 0, "a number, by which a cluster can tell that it is not root"


def test_what_the_image_copies_is_there() -> None:
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources), rest


def test_the_image_runs_what_the_procfile_does() -> None:
    (command,) = [rest for name, rest in instructions() if name == "CMD"]
    assert lines("Procfile")["web"] == f"exec {' '.join(json.loads(command))}"
    assert lines("Procfile")["worker"].removeprefix("exec ") in (ROOT / "Dockerfile").read_text()


def test_no_secret_and_nothing_of_a_developers_gets_into_the_image() -> None:
    left_out = {line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    kept_from_git = (ROOT / ".gitignore").read_text().split()
    for pattern in kept_from_git:
        assert {pattern.strip("/"), f"**/{pattern.strip('/')}"} & left_out, pattern
    assert ".git" in left_out


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
    watched = {
        ROOT / path
        for pattern in conf["reload_extra_files"]
        for path in glob(pattern, root_dir=ROOT, recursive=True)
    }
    assert watched.issuperset(ROOT.glob("templates/**/*.html"))
    assert watched.issuperset(ROOT.glob("compute/computations/*.py"))
    assert ROOT / "compute/computations" in watched
    assert not any("__pycache__" in path.parts for path in watched)
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


@pytest.mark.parametrize("name", ["dev", "test", "check", "requirements"])
def test_a_command_is_a_plain_shell_script_that_can_be_executed(name: str) -> None:
    script = ROOT / "bin" / name
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", script]).returncode == 0


def test_manage_py_can_be_executed() -> None:
    assert os.access(ROOT / "manage.py", os.X_OK)
    assert callable(runpy.run_path(str(ROOT / "manage.py"))["main"])
