#!/usr/bin/env python
"""Django's command line: ./manage.py help lists the commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sumsite.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed for this Python. Run bin/dev once, "
            "then `source .venv/bin/activate`."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
