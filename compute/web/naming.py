"""Names for every page: what the site is called, and whether it shows the tutorial."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def names(request: HttpRequest) -> dict[str, Any]:
    """A context processor. Asks no database: a page that says that it is away needs these, too."""
    return {"name_of_site": settings.SITE_NAME, "tutorial": settings.TUTORIAL}
