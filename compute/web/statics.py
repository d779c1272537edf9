"""Whether the pages' static files have been collected: a page that names another fails."""

from __future__ import annotations

from typing import Any

from django.conf import STATICFILES_STORAGE_ALIAS
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.storage import storages


def uncollected() -> list[str]:
    """The static files that this process knows no collected copy of, by name.

    Empty in development, where files are found as they are.
    """
    storage: Any = storages[STATICFILES_STORAGE_ALIAS]
    if not isinstance(storage, ManifestStaticFilesStorage):
        return []
    names = {storage.clean_name(name) for finder in get_finders() for name, _ in finder.list([])}
    return sorted(names - storage.hashed_files.keys())


def what_to_do(names: list[str]) -> str:
    return (
        f"Static files are not collected ({len(names):,}, the first being {names[0]}): run "
        "`./manage.py collectstatic --no-input` and start the web server again."
    )
