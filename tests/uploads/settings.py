"""The site's settings, with a computation that is given a file."""

from sumsite.settings import *  # noqa: F403
from sumsite.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.uploads"]
