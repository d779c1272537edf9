"""What each host is told by its file, in one form: which lines it runs with which variables.

So that one test can do here what Heroku does with app.json and the Procfile, Render with
render.yaml, and Docker with compose.yaml and the Dockerfile.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML

from tests.processes import ROOT

#: What stands for a generated secret: 64 hexadecimal digits, or 256 bits in base64 at Render.
SECRET = "0123456789abcdef" * 4
SECRET_AT_RENDER = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="


def lines(name: str) -> dict[str, str]:
    """The processes of a Procfile, in order."""
    return dict(re.findall(r"^([\w-]+): (.+)$", (ROOT / name).read_text(), re.M))


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: name and the rest of the line."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(r"^([A-Z]+) +(.+)$", text, re.M)


def instruction(name: str, containing: str = "") -> str:
    (rest,) = [rest for found, rest in instructions() if found == name and containing in rest]
    return rest


def of_yaml(name: str) -> Any:
    return YAML(typ="safe").load(ROOT / name)


@dataclass(frozen=True)
class Kind:
    """Processes of one kind: a line for the shell, how many of it, and their variables."""

    line: str
    quantity: int
    variables: dict[str, str]
    #: What the host sets by itself, with {number} for which of them it is.
    hosts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    #: A name that the site answers to there.
    name: str
    #: What makes the static files, the packages being there.
    build: str
    release: Kind
    web: Kind
    worker: Kind

    @property
    def kinds(self) -> dict[str, Kind]:
        return {"release": self.release, "web": self.web, "worker": self.worker}


def heroku() -> Deployment:
    app = json.loads((ROOT / "app.json").read_text())
    variables = {
        name: SECRET if variable.get("generator") == "secret" else variable["value"]
        for name, variable in app["env"].items()
    }

    def kind(name: str) -> Kind:
        quantity = app["formation"][name]["quantity"] if name in app["formation"] else 1
        return Kind(lines("Procfile")[name], quantity, variables, {"DYNO": f"{name}.{{number}}"})

    return Deployment(
        "sums-of-mine.herokuapp.com",
        "python manage.py collectstatic --noinput",  # its buildpack's
        **{name: kind(name) for name in ("release", "web", "worker")},
    )


def render() -> Deployment:
    blueprint = of_yaml("render.yaml")
    services = {service["type"]: service for service in blueprint["services"]}
    variables: dict[str, dict[str, str]] = {}
    for service in blueprint["services"]:  # in order: one refers to those before it
        variables[service["name"]] = {
            each["key"]: (
                SECRET_AT_RENDER
                if each.get("generateValue")
                else each["value"]
                if "value" in each
                else variables[each["fromService"]["name"]][each["fromService"]["envVarKey"]]
            )
            for each in service["envVars"]
            if "fromDatabase" not in each
        }

    def kind(type_: str, command: str) -> Kind:
        service = services[type_]
        hosts = {
            "RENDER": "true",
            "RENDER_SERVICE_TYPE": type_,
            "GUNICORN_CMD_ARGS": "--preload --access-logfile - --bind=0.0.0.0:10000",
        }
        quantity = service.get("numInstances", 1)
        return Kind(service[command], quantity, variables[service["name"]], hosts)

    install, _, build = services["web"]["buildCommand"].partition(" && ")
    assert install == services["worker"]["buildCommand"] == "pip install -r requirements.txt"
    return Deployment(
        "sums-of-mine.onrender.com",
        build,
        release=kind("web", "preDeployCommand"),
        web=kind("web", "startCommand"),
        worker=kind("worker", "startCommand"),
    )


#: What somebody who runs compose.yaml writes into .env, beside what bin/dev has left there.
DOT_ENV = {
    "DEBUG": "1",
    "PORT": "4711",
    "PROCFILE": "Procfile.dev",
    "SECRET_KEY": SECRET,
    "POSTGRES_PASSWORD": "postgresPassword1",
    "ADMIN_PASSWORD": "admin-password",
    "ALLOWED_HOSTS": "localhost",
    "WEB_CONCURRENCY": "2",
    "Q_WORKERS": "1",
}


def interpolated(value: Any, variables: dict[str, str]) -> Any:
    """A value of compose.yaml as Docker reads it: ${NAME:?what is wrong}, ${NAME:-default}."""
    if isinstance(value, dict):
        return {key: interpolated(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, variables) for each in value]
    if not isinstance(value, str):
        return value

    def put(match: re.Match[str]) -> str:
        name, operator, text = match.groups()
        if found := variables.get(name):
            return found
        if operator == ":-":
            return text
        raise LookupError(f"required variable {name} is missing a value: {text}")

    return re.sub(r"\$\{(\w+)(:[?-])([^}]*)\}", put, value)


def composed(variables: dict[str, str]) -> Any:
    """compose.yaml's services and what else it has, with these variables in .env."""
    return interpolated(of_yaml("compose.yaml"), variables)


def compose(workers: int = 2) -> Deployment:
    services = composed(DOT_ENV)["services"]
    image = dict(re.findall(r"(\w+)=(\S+)", instruction("ENV", "PYTHONUNBUFFERED")))
    del image["PATH"]

    def kind(name: str, quantity: int = 1) -> Kind:
        service = services[name]
        command = service.get("command") or json.loads(instruction("CMD"))
        assert service["env_file"] == [{"path": ".env", "required": False}]
        variables = {**image, **DOT_ENV, **service["environment"]}
        return Kind("exec " + shlex.join(command), quantity, variables)

    return Deployment(
        "localhost",
        instruction("RUN", "collectstatic").partition(" && ")[0],
        release=kind("release"),
        web=kind("web"),
        worker=kind("worker", workers),
    )


DEPLOYMENTS = {"heroku": heroku, "render": render, "compose": compose}
