"""The site's settings, with the computations of a hostile author."""

from sumsite.settings import *  # noqa: F403
from sumsite.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.odd"]
