"""`manage.py drain NODE …`: queue servers end what they have, and claim no more."""

from __future__ import annotations

from typing import Any

from django.core.management import CommandError, CommandParser

from compute.management.terminal import MigratedCommand
from compute.queue.models import Node


class Command(MigratedCommand):
    help = (
        "Has queue servers end what they have and claim no more, within a second: until --undo, "
        "or until they are stopped. What waits is left to others."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("nodes", metavar="NODE", nargs="+", help="its name on /nodes/, or id")
        parser.add_argument("--undo", action="store_true", help="have them work again")

    def handle(self, *args: Any, **options: Any) -> None:
        alive = list(Node.objects.alive())
        named = [node for node in alive if {node.name, node.pk} & set(options["nodes"])]
        known = {text for node in named for text in (node.name, node.pk)}
        if missing := set(options["nodes"]) - known:
            raise CommandError(
                f"No queue server {', '.join(sorted(missing))} is alive; there are: "
                f"{', '.join(node.name for node in alive) or 'none'}. Nothing is done."
            )
        nodes = Node.objects.named([node.pk for node in named])
        if options["undo"]:
            nodes.work_again()
        else:
            nodes.drain()
        says = "works again" if options["undo"] else "ends what it has, and claims no more"
        for node in named:
            self.stdout.write(f"{node} {says}.")
