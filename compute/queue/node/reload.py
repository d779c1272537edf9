"""Watches the code in development, for a node that starts again with what has changed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from django.utils.autoreload import StatReloader

from ..imported import BEGAN, overtaken
from ..signals import watching

log = logging.getLogger(__name__)

#: Seconds between two looks at the code.
LOOK_S = 1


class Code:
    """The files this process has imported, watched as Django's runserver does, and the
    folders that receivers of `watching` name: there a file counts from its first day."""

    def __init__(self) -> None:
        self.reloader = StatReloader()
        watching.send(sender=Code, reloader=self.reloader)
        now = self.look()
        self.seen = now | dict.fromkeys(overtaken(now, BEGAN), 0.0)
        self.looked = time.monotonic()

    def look(self) -> dict[Path, float]:
        return dict(self.reloader.snapshot_files())

    def in_folders(self, path: Path) -> bool:
        return any(Path(path).is_relative_to(folder) for folder in self.reloader.directory_globs)

    def has_changed(self) -> bool:
        """Whether a file has, and the new code can be loaded; if not, says so and waits."""
        if time.monotonic() - self.looked < LOOK_S:
            return False
        self.looked = time.monotonic()
        now, before = self.look(), self.seen
        self.seen = now
        new = any(self.in_folders(path) for path in now.keys() - before.keys())
        # Any other that is new here has just been imported, as it is.
        if not new and all(now.get(path) == changed for path, changed in before.items()):
            return False
        # Not by manage.py, which a project may have elsewhere, or under another name.
        check = [sys.executable, "-m", "django", "check"]
        paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        tried = subprocess.run(check, env=paths, capture_output=True, text=True)  # noqa: S603
        if tried.returncode:
            extra = {"traceback": tried.stderr}
            log.error("the changed code can't be loaded, the old one goes on", extra=extra)
        return tried.returncode == 0
