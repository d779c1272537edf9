"""`manage.py copy_database SOURCE`: from SQLite to Postgres, or wherever else Django runs.

Not dumpdata and loaddata: those would hold everything in memory, unpickle what tasks
returned, and run the hooks of finished tasks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import dj_database_url
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, CommandParser
from django.core.management.color import no_style
from django.db import Error, connection, connections, models, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Cast
from picklefield.fields import PickledObject, PickledObjectField

from compute.management.terminal import DatabaseCommand
from compute.queue.contents import Part
from compute.queue.models import Node
from compute.queue.text import one_line

SOURCE = "source"
#: Rows read and written at a time; of large contents parts, which are half a megabyte each.
BATCH, PARTS = 1_000, 8
#: Tables that migrations fill by themselves; the source's rows replace theirs.
MADE_BY_MIGRATIONS = {"contenttypes.ContentType", "auth.Permission", "django_q.Schedule"}

Model = type[models.Model]


class Command(DatabaseCommand):
    help = (
        "Copies everything from the database SOURCE into that of DATABASE_URL, which has to be "
        "migrated and otherwise empty. All or nothing. Stop web and queue servers before."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", metavar="SOURCE", help="as a URL: sqlite:///db.sqlite3")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            source = dj_database_url.parse(options["source"])
        except ValueError as error:
            raise CommandError(f"This is no database's URL: {error}") from error
        # Nobody writes into an SQLite file from here on; elsewhere the nodes are asked.
        with opened(source), transaction.atomic(), transaction.atomic(using=SOURCE):
            check()
            total = sum(copy(model) for model in all_models())
            reset_sequences()
        self.stdout.write(f"Copied {total:,} rows.")


@contextmanager
def opened(source: Any) -> Iterator[None]:
    """The source as a database of Django's; CommandError if there is none, or it can't be opened.

    SQLite would make an empty file of a path that is mistyped.
    """
    name = str(source["NAME"])
    if source["ENGINE"].endswith("sqlite3") and not Path(name).is_file():
        raise CommandError(f"There is no file {name}; give the one of the old database.")
    configured = connections.configure_settings({"default": {}, SOURCE: source})
    connections.databases[SOURCE] = configured[SOURCE]
    try:
        try:
            connections[SOURCE].introspection.table_names()
        # Without a driver for it, and with options in its URL that the driver has not.
        except (Error, ImproperlyConfigured, TypeError, ValueError) as error:
            say = f"The old database can't be opened: {one_line(error)}"
            raise CommandError(say) from error
        yield
    finally:
        with suppress(ImproperlyConfigured):
            connections[SOURCE].close()
            del connections[SOURCE]
        del connections.databases[SOURCE]


def all_models() -> list[Model]:
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.managed and not model._meta.proxy]


def check() -> None:
    """Refuse what would lose or mix something up."""
    have, want = (
        set(MigrationRecorder(connections[alias]).applied_migrations())
        for alias in (SOURCE, connection.alias)
    )
    if have != want:
        names = ", ".join(sorted(f"{app}.{name}" for app, name in have ^ want))
        raise CommandError(f"Migrate both to the same version first. They differ in: {names}.")
    if Node.objects.using(SOURCE).alive().exists():
        raise CommandError("A queue server runs on the old database. Stop it first.")
    for model in all_models():
        if model._meta.label in MADE_BY_MIGRATIONS:
            model._base_manager.all().delete()
        elif model._base_manager.exists():
            raise CommandError(f"The new database is in use: it has rows of {model._meta.label}.")


def copy(model: Model) -> int:
    """Copy a table as it is; how many rows. Raises unless all of them arrived."""
    fields = model._meta.concrete_fields
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    insert = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})"  # noqa: S608
    rows = read(model)
    with connection.cursor() as cursor:
        while batch := list(islice(rows, batch_of(model))):
            cursor.executemany(insert, batch)
    count = model._base_manager.count()
    if count != model._base_manager.using(SOURCE).count():
        raise CommandError(f"Not all rows of {model._meta.label} arrived.")
    return count


def batch_of(model: Model) -> int:
    return PARTS if model is Part else BATCH


def read(model: Model) -> Iterator[list[Any]]:
    """A table's rows, their values as the new database takes them."""
    fields = model._meta.concrete_fields
    # A pickle stays as it is: what it needs may be gone, and reading it would run it.
    pickled = {field.attname for field in fields if isinstance(field, PickledObjectField)}
    wanted = [
        Cast(field.attname, models.TextField()) if field.attname in pickled else field.attname
        for field in fields
    ]
    rows: Any = model._base_manager.using(SOURCE).order_by("pk")
    for row in rows.values_list(*wanted).iterator(chunk_size=batch_of(model)):
        yield [
            field.get_db_prep_save(
                PickledObject(value) if field.attname in pickled and value is not None else value,
                connection,
            )
            for field, value in zip(fields, row, strict=True)
        ]


def reset_sequences() -> None:
    """Let the next row get an id that no other has."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), all_models()):
            cursor.execute(statement)
