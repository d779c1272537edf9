"""The site's settings, with workers that end as soon as they have started."""

from tests.plain_static import *  # noqa: F403
from tests.plain_static import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.stillborn"]
