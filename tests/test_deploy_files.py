"""The files that a host or a process manager reads."""

from __future__ import annotations

import contextlib
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from glob import glob
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deployments import (
    DEPLOYMENTS,
    DOT_ENV,
    compose,
    composed,
    heroku,
    instruction,
    instructions,
    lines,
    of_yaml,
    render,
)
from tests.processes import ROOT, environment


@pytest.fixture(scope="module")
def app() -> Any:
    return json.loads((ROOT / "app.json").read_text())


def faulty(*arguments: str | Path) -> set[str]:
    """The names of the files among these that are not as the schema among these says."""
    check = [sys.executable, "-m", "check_jsonschema", "--output-format", "json", *arguments]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {Path(error["filename"]).name for error in json.loads(done.stdout).get("errors", [])}


def all_faulty(documents: list[Any], folder: Path, *schema: str) -> bool:
    files = [folder / f"{number}.json" for number in range(len(documents))]
    for file, document in zip(files, documents, strict=True):
        file.write_text(json.dumps(document))
    return faulty(*files, *schema) == {file.name for file in files}


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


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_the_app_is_as_the_host_documents_it(app: Any, tmp_path: Path) -> None:
    schema = ("--schemafile", str(ROOT / "tests" / "app.schema.json"))
    assert faulty(ROOT / "app.json", *schema) == set()
    mistakes: list[dict[str, Any]] = [
        {"formations": {}},
        {"env": {"Q_WORKERS": {"value": 1}}},
        {"formation": {"web": {"quantity": "1"}}},
        {"addons": ["Heroku Postgres"]},
    ]
    assert all_faulty([{**app, **mistake} for mistake in mistakes], tmp_path, *schema)


def test_the_app_runs_on_a_stack_that_the_host_still_builds(app: Any) -> None:
    assert app["stack"] == "heroku-26"


def test_what_the_default_formation_keeps_open_fits_twice_into_a_small_plan() -> None:
    """As the documentation counts; tests/test_deploy.py counts what there really is."""
    for deployment in (heroku(), render()):
        web, worker = deployment.web, deployment.worker
        processes = web.quantity * int(web.variables["WEB_CONCURRENCY"])
        nodes = worker.quantity * (3 + int(worker.variables["Q_WORKERS"]))
        assert 2 * (processes + nodes) <= 20


# --- render.yaml ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def blueprint() -> Any:
    return of_yaml("render.yaml")


@pytest.mark.thorough
def test_the_blueprint_is_as_the_host_documents_it(blueprint: Any, tmp_path: Path) -> None:
    schema = ("--schemafile", str(ROOT / "tests" / "render.schema.json"))
    assert faulty(ROOT / "render.yaml", *schema) == set()
    web, worker = blueprint["services"]
    (database,) = blueprint["databases"]
    mistakes: list[dict[str, Any]] = [
        {"service": []},
        {"services": [{**web, "startcommand": "gunicorn"}]},
        {"services": [{**worker, "healthCheckPath": "/healthz"}]},
        {"services": [{**web, "plan": "basic"}]},
        {"services": [{**web, "envVars": [{"key": "PROXIES", "value": 2}]}]},
        {"services": [{**web, "envVars": [{"key": "PROXIES"}]}]},
        {"databases": [{**database, "plan": "starter"}]},
        {"databases": [{**database, "diskSizeGB": 7}]},
    ]
    assert all_faulty([{**blueprint, **mistake} for mistake in mistakes], tmp_path, *schema)


def test_the_blueprint_refers_to_what_it_has(blueprint: Any) -> None:
    (database,) = blueprint["databases"]
    assert database["ipAllowList"] == []
    web, worker = blueprint["services"]
    assert (web["type"], worker["type"]) == ("web", "worker")
    assert web["healthCheckPath"] == "/healthz"
    for service in (web, worker):
        by_name = {each["key"]: each for each in service["envVars"]}
        assert len(by_name) == len(service["envVars"])
        assert by_name["DATABASE_URL"]["fromDatabase"]["name"] == database["name"]
    for name in ("SECRET_KEY", "ADMIN_PASSWORD"):
        (generated,) = [each for each in web["envVars"] if each["key"] == name]
        assert generated == {"key": name, "generateValue": True}


# --- compose.yaml ---------------------------------------------------------------------


@pytest.mark.thorough
def test_compose_is_as_it_is_documented(tmp_path: Path) -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    assert faulty(ROOT / "compose.yaml", *schema) == set()
    mistake = {"services": {"web": {"imagine": "sumsite"}}}
    assert all_faulty([mistake], tmp_path, *schema)


@pytest.mark.parametrize("name", ["SECRET_KEY", "POSTGRES_PASSWORD", "ALLOWED_HOSTS"])
def test_what_has_no_default_is_asked_for(name: str) -> None:
    with pytest.raises(LookupError, match=f"{name} is missing a value: give .env"):
        composed({key: value for key, value in DOT_ENV.items() if key != name})


def test_what_bin_dev_wrote_into_env_makes_no_site_of_developers() -> None:
    for kind in compose().kinds.values():
        assert kind.variables["DEBUG"] == "0"
        assert kind.variables["PROXIES"] == "1"
        assert kind.variables["PORT"] == "8000"


def test_the_parts_of_compose_fit_together() -> None:
    services = composed(DOT_ENV)["services"]
    assert set(services) == {"caddy", "web", "worker", "release", "database"}
    given = services["database"]["environment"]
    address = urlsplit(services["web"]["environment"]["DATABASE_URL"])
    assert (address.hostname, address.port) == ("database", None)
    assert (address.username, address.password) == (
        given["POSTGRES_USER"],
        given["POSTGRES_PASSWORD"],
    )
    assert address.path == f"/{given['POSTGRES_USER']}", "the image's default"
    caddyfile = (ROOT / "deploy" / "Caddyfile").read_text()
    assert f"reverse_proxy web:{services['web']['environment']['PORT']} {{" in caddyfile
    assert set(re.findall(r"{\$(\w+)", caddyfile)) == set(services["caddy"]["environment"])
    assert [name for name, service in services.items() if "ports" in service] == ["caddy"]
    named = {
        volume.partition(":")[0] for each in services.values() for volume in each.get("volumes", [])
    }
    assert set(composed(DOT_ENV)["volumes"]) == {name for name in named if "/" not in name}


@pytest.mark.thorough
def test_compose_releases_once_before_it_serves_and_gives_time_to_stop() -> None:
    services = composed(DOT_ENV)["services"]
    released = {"release": {"condition": "service_completed_successfully"}}
    assert services["web"]["depends_on"] == services["worker"]["depends_on"] == released
    assert services["release"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["release"]["restart"] == "no"
    assert services["caddy"]["depends_on"] == {"web": {"condition": "service_healthy"}}
    example = (ROOT / ".env.example").read_text()
    grace = re.search(r"^Q_GRACE=(\d+)$", example, re.M)
    assert grace
    assert int(services["worker"]["stop_grace_period"].rstrip("s")) >= int(grace[1]) + 10
    conf = gunicorn(DEBUG="0")
    assert int(services["web"]["stop_grace_period"].rstrip("s")) > conf["graceful_timeout"]


# --- all of them ----------------------------------------------------------------------


@pytest.mark.parametrize("name", list(DEPLOYMENTS))
def test_every_host_runs_the_lines_of_the_procfile(name: str) -> None:
    assert list(DEPLOYMENTS) == ["heroku", "render", "compose"]
    for kind, process in DEPLOYMENTS[name]().kinds.items():
        line = process.line.replace("env GUNICORN_CMD_ARGS= ", "")
        assert line.removeprefix("exec ") == lines("Procfile")[kind].removeprefix("exec ")
        assert line.startswith("exec ") or kind == "release"


@pytest.mark.parametrize("name", ["heroku", "render"])
def test_hosts_set_variables_that_the_site_reads(name: str) -> None:
    documented = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M))
    for process in DEPLOYMENTS[name]().kinds.values():
        assert set(process.variables) <= documented


# --- requirements ---------------------------------------------------------------------


def ranges(name: str) -> dict[str, Requirement]:
    """What a .in file asks for, by canonical name."""
    text = (ROOT / name).read_text()
    asked = [Requirement(line.partition("#")[0]) for line in re.findall(r"^[A-Za-z].*", text, re.M)]
    return {canonicalize_name(each.name): each for each in asked}


def pins(name: str) -> list[tuple[str, str]]:
    """Package and version; of a package more than one where they depend on the Python."""
    text = (ROOT / name).read_text()
    return re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", text, re.M)


def extras_asked_for(pinned: str) -> Iterator[tuple[str, str]]:
    """Package and extra, for whatever one of the installed packages asks of another."""
    for package, _ in pins(pinned):
        with contextlib.suppress(metadata.PackageNotFoundError):  # of another system or Python
            for text in metadata.requires(package) or []:
                asked = Requirement(text)
                if not asked.marker or asked.marker.evaluate({"extra": ""}):
                    for extra in asked.extras:
                        yield canonicalize_name(asked.name), extra


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_every_range_is_pinned_and_every_pin_has_its_hashes(name: str) -> None:
    pinned = pins(f"{name}.txt")
    asked = ranges(f"{name}.in")
    assert asked
    for package, requirement in asked.items():
        versions = [version for name_, version in pinned if name_ == package]
        assert versions, f"{package} is not pinned: bin/requirements"
        assert all(map(requirement.specifier.contains, versions)), "bin/requirements"
        assert len(requirement.specifier) == 2, f"{requirement}: from which version, below which?"
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / f"{name}.txt").read_text(), flags=re.M)[1:]
    assert len(entries) == len(pinned)
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_a_pin_names_the_extras_that_other_packages_ask_for() -> None:
    """Else an older pip takes the newest of such a package, and finds it without a hash."""
    text = (ROOT / "requirements-dev.txt").read_text()
    pinned = {
        package: set(re.split(r", *", extras))
        for package, extras in re.findall(r"^([a-z0-9._-]+)\[(.+)\]==", text, re.M)
    }
    asked = set(extras_asked_for("requirements-dev.txt"))
    assert ("coverage", "toml") in asked
    for package, extra in asked:
        assert extra in pinned.get(package, ()), f"{package}[{extra}]: bin/requirements"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_pins_name_no_index_and_no_machine(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"index|find-links|://|(?<![\w.])/\w", text.replace("bin/requ", ""))


def test_development_has_the_packages_of_production() -> None:
    production = pins("requirements.txt")
    assert len(production) > 10
    assert set(production) <= set(pins("requirements-dev.txt"))


# --- Dockerfile -----------------------------------------------------------------------


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
    assert lines("Procfile")["web"] == f"exec {' '.join(json.loads(instruction('CMD')))}"
    assert lines("Procfile")["worker"].removeprefix("exec ") in (ROOT / "Dockerfile").read_text()


def test_no_secret_and_nothing_of_a_developers_gets_into_the_image() -> None:
    left_out = {line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    kept_from_git = (ROOT / ".gitignore").read_text().split()
    for pattern in kept_from_git:
        assert {pattern.strip("/"), f"**/{pattern.strip('/')}"} & left_out, pattern
    assert ".git" in left_out


# --- .python-version ------------------------------------------------------------------


def test_hosts_run_a_python_that_ci_tests() -> None:
    """Of the running one nothing is said: the tests run on several."""
    version = (ROOT / ".python-version").read_text().strip()
    linux = of_yaml(".github/workflows/ci.yml")["jobs"]["linux"]
    assert version in linux["strategy"]["matrix"]["python"]
    assert "3.11" in linux["strategy"]["matrix"]["python"], (
        "the oldest, which the pins are made for"
    )
    assert 'python_version = "3.11"' in (ROOT / "pyproject.toml").read_text()
    assert "--python-version 3.11" in (ROOT / "bin" / "requirements").read_text()


# --- .github/workflows ----------------------------------------------------------------


@pytest.mark.thorough
def test_the_workflow_is_as_github_documents_it() -> None:
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    assert faulty(workflow, "--builtin-schema", "vendor.github-workflows") == set()


def test_ci_runs_on_every_python_that_is_supported_and_on_a_mac() -> None:
    jobs = of_yaml(".github/workflows/ci.yml")["jobs"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert jobs["linux"]["container"] == "python:${{ matrix.python }}-bookworm"
    assert {"run": "bash .ci/run"} in jobs["linux"]["steps"]
    assert jobs["macos"]["runs-on"].startswith("macos-")
    for job in jobs.values():
        assert job["timeout-minutes"]


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


@pytest.mark.thorough
def test_in_production_gunicorn_listens_to_everyone_and_reloads_nothing() -> None:
    conf = gunicorn(DEBUG="0", PORT="5000")
    assert conf["bind"] == "0.0.0.0:5000"
    assert conf["reload"] is False
    assert conf["reload_extra_files"] == []
    assert conf["graceful_timeout"] < 30, "Heroku kills 30 s after it has asked"


@pytest.mark.thorough
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


@pytest.mark.thorough
@pytest.mark.parametrize("debug", ["0", "1"])
def test_gunicorn_kills_a_long_request_as_the_tutorial_tells(debug: str) -> None:
    conf = gunicorn(DEBUG=debug)
    assert (conf["worker_class"], conf["timeout"], conf["workers"]) == ("sync", 30, 3)
    assert conf["control_socket_disable"] is True
    conf = gunicorn(DEBUG=debug, WEB_TIMEOUT="7", WEB_CONCURRENCY="2")
    assert (conf["timeout"], conf["workers"]) == (7, 2)


@pytest.mark.thorough
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
