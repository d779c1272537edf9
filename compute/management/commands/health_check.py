"""`manage.py health_check`: for containers, whose platform judges by an exit code."""

from __future__ import annotations

from http.client import HTTPException
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser

from compute.web import health

#: Seconds that the web process has to answer.
PATIENCE_S = 5


class Command(BaseCommand):
    help = (
        "Exits with 0 if this host's web process answers at PORT, or, with --worker, its "
        "queue server gave a sign of life lately; else with 1 and a line that says what is wrong."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--worker", action="store_true", help="ask for the queue server")

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = health.missing_here() if options["worker"] else web_is_wrong()
        if wrong:
            raise CommandError(wrong)
        self.stdout.write("The queue server works." if options["worker"] else "The site answers.")


def web_is_wrong() -> str | None:
    """The fault of this host's web process; None if it answers."""
    address = f"http://127.0.0.1:{settings.PORT}/healthz"
    hosts = [name.lstrip(".") for name in settings.ALLOWED_HOSTS if name != "*"]
    request = Request(address, headers={"Host": hosts[0]} if hosts else {})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=PATIENCE_S):
            return None
    except (OSError, HTTPException) as error:
        return f"{address} does not answer: {error}"
