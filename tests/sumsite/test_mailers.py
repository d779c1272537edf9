"""How mail is sent, as one address says."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from sumsite.mailers import mailer
from tests.sumsite.reading import settings_with


def mailer_with(url: str) -> dict[str, Any]:
    """What Django's mailer is made with: by 5.2's settings, or by 6.1's one."""
    settings = settings_with(EMAIL_URL=url)
    assert "EMAIL_URL" not in settings, "it holds a password, and DEBUG's pages show settings"
    assert settings["SENDS_MAIL"] is True
    entry = settings["MAILERS"]["default"] if "MAILERS" in settings else mailer(settings)
    return {"backend": entry["BACKEND"].split(".")[-2], **entry["OPTIONS"]}


def test_one_address_says_how_mail_is_sent() -> None:
    server = {"host": "mail.example", "use_ssl": False}
    assert mailer_with("submission://us%40er:pass%2Fword@mail.example") == server | {
        "backend": "smtp",
        "port": 587,
        "username": "us@er",
        "password": "pass/word",
        "use_tls": True,
        "timeout": 10,
    }
    assert mailer_with("smtp://mail.example?timeout=3")["timeout"] == 3
    assert mailer_with("file:////var/mails") == {"backend": "filebased", "file_path": "/var/mails"}
    assert mailer_with("console:") == {"backend": "console"}


@pytest.mark.parametrize("url", ["mail.example.com", "foo://mail.example.com"])
def test_an_address_that_says_nothing_of_mail_is_an_error(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL"):
        settings_with(EMAIL_URL=url)
