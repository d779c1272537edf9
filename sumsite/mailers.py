"""How mail is sent, in the words of Django 6.1's setting MAILERS."""

from __future__ import annotations

from typing import Any

SMTP = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
}
OPTIONS = {"smtp": SMTP, "filebased": {"file_path": "EMAIL_FILE_PATH"}}


def mailer(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of MAILERS that says what the settings EMAIL_* of Django 5.2 say."""
    backend = settings["EMAIL_BACKEND"]
    names = OPTIONS.get(backend.split(".")[-2], {})
    return {
        "BACKEND": backend,
        "OPTIONS": {option: settings[name] for option, name in names.items()},
    }
