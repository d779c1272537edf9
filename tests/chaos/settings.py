"""The site's settings, with computations that are slow to combine, or come to every shape."""

from tests.plain_static import *  # noqa: F403
from tests.plain_static import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos"]
