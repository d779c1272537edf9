"""What every page with a form says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django import forms
from django.test import Client
from django.utils import timezone

from compute.computations.primes import PRIMES
from compute.queue import pauses
from compute.queue.models import Node
from compute.web.pages.base import seconds_between
from tests.web.pages.reading import HTML, page


def test_without_a_queue_server_the_page_says_so(db: None) -> None:
    assert "No queue server is running" in page("/")


def test_with_a_queue_server_the_page_does_not_warn(queue_server: Node) -> None:
    assert "No queue server is running" not in page("/")


@pytest.mark.parametrize("address", ["/", "/compute/sum/", "/compute/sum/chunk-sizes/"])
def test_what_is_paused_is_told_where_it_is_started(queue_server: Node, address: str) -> None:
    pauses.pause("primes")
    assert "paused" not in page(address)
    pauses.pause("sum")
    assert "<strong>sum is paused</strong>" in page(address)
    pauses.pause(by="boss")
    html = page(address)
    assert "<strong>The queue is paused</strong>" in html
    assert "what you start waits" in html
    assert "boss" not in html


class Dial(forms.NumberInput):
    """A widget that brings its own, from this site and from another."""

    class Media:
        css = {"all": ["dial/dial.css"]}
        js = ["dial/dial.js", "https://elsewhere.example/dial.js"]


class DialForm(PRIMES.form):  # type: ignore[name-defined]
    n = forms.IntegerField(widget=Dial)

    class Media:
        js = ["form.js"]


@pytest.mark.parametrize("address", ["/compute/dial/", "/compute/dial/chunk-sizes/"])
def test_what_widgets_need_is_loaded_from_this_site_alone(
    db: None, declare: Any, address: str
) -> None:
    declare(name="dial", form=DialForm)
    reply = Client().get(address, headers=HTML)
    head, _, body = reply.content.decode().partition("</head>")
    for file in ("dial/dial.css", "dial/dial.js", "form.js"):
        assert head.count(f'"/static/{file}"') == 1
        assert file not in body
    for source in ("script-src 'self'", "style-src 'self'"):
        assert f"{source};" in f"{reply['Content-Security-Policy']};"
    assert "dial" not in page("/compute/primes/").partition("</head>")[0]


def test_a_form_that_is_refused_has_it_too(db: None, declare: Any) -> None:
    declare(name="dial", form=DialForm)
    reply = Client().post("/compute/dial/start/", {"n": "x"}, headers=HTML)
    assert reply.status_code == 400
    assert '"/static/dial/dial.js"' in reply.content.decode()


def test_media_that_fail_are_their_authors_mistake(db: None, declare: Any, admin: Client) -> None:
    def media(self: forms.Form) -> None:
        raise ValueError("no such file")

    declare(name="dial", form=type("LostForm", (DialForm,), {"media": property(media)}))
    reply = admin.get("/compute/dial/", headers=HTML)
    assert reply.status_code == 422
    assert "dial: its `form` raised ValueError: no such file" in reply.content.decode()


def test_a_time_is_never_negative() -> None:
    now = timezone.now()
    assert seconds_between(now, now + timedelta(seconds=2)) == 2
    assert seconds_between(now, now - timedelta(seconds=2)) == 0
