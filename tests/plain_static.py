"""The site's own settings, for a web server that shall do without collected files."""

from sumsite.settings import *  # noqa: F403
from sumsite.settings import STORAGES

STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_USE_FINDERS = True
