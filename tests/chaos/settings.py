"""The site's settings, with a computation that is slow to combine."""

from tests.plain_static import *  # noqa: F403
from tests.plain_static import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos"]
