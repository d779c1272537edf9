"""The site's settings, with a computation whose form has every field that Django has."""

from tests.plain_static import *  # noqa: F403
from tests.plain_static import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.every"]
