"""A click at a picture starts the run that its computation's form says."""

from __future__ import annotations

import re
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from pytest_django import Settings

from compute.models import Run
from compute.web.clicks import place_of
from tests.conftest import run_jobs, started
from tests.models.uncombined import Declare, page
from tests.web.pages.reading import HTML
from tests.web.pages.test_clicks import Raising, odd

START, CLICK = "/compute/mandelbrot/start/", "/compute/mandelbrot/click/"


def a_run(client: Client | None = None, **texts: str) -> Run:
    fields: dict[str, Any] = {"pixels": 64, "iterations": 5, **texts}
    return started(START, client, **fields)


def click(run: Run, client: Client | None = None, /, **fields: Any) -> Any:
    return (client or Client()).post(CLICK, {"task_id": run.task_id, **fields})


def view(run: Run) -> dict[str, Decimal]:
    return {name: Decimal(run.parameters[name]) for name in ("x", "y", "width")}


def newest(reply: Any) -> Run:
    assert reply.status_code == 200, reply.content
    return Run.objects.get(task_id=reply.json()["task_progress"].partition("task_id=")[2])


# --- where ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("at-512x256.x=128&at-512x256.y=64", (0.25, 0.25)),
        ("at-280x280.x=280&at-280x280.y=0", (1.0, 0.0)),
        ("at-280x280.x=99999&at-280x280.y=5", (1.0, 5 / 280)),
        ("at-280x280.x=0&at-280x280.y=0", (0.5, 0.5)),  # by the keyboard
        ("at-280x280.x=0", None),
        ("at-280x280.x=1.5&at-280x280.y=NaN", None),
        ("at-280x280.x=-5&at-280x280.y=5", None),
        ("at-0x0.x=5&at-0x0.y=5", None),
        ("at-99999x5.x=5&at-99999x5.y=5", None),
        ("at-280x280.x=٥&at-280x280.y=5", None),
        ("at.x=5&at.y=5", None),
        ("", None),
    ],
)
def test_a_place_is_read_of_what_a_browser_sends(query: str, place: Any) -> None:
    assert place_of(QueryDict(query)) == place


def test_a_click_starts_the_view_around_its_place(db: None) -> None:
    run = a_run(x="-1", y="0.5", width="0.4")
    run_jobs()
    place: dict[str, Any] = {"at-512x512.x": 512, "at-512x512.y": 0}
    after = newest(click(run, None, **place))
    assert view(after) == {"x": Decimal("-0.8"), "y": Decimal("0.7"), "width": Decimal("0.1")}
    assert (after.parameters["pixels"], after.parameters["iterations"]) == (64, 5)
    assert str(after) == "Mandelbrot set at -0.8 + 0.7i, × 30"


def test_a_way_starts_what_it_says(db: None) -> None:
    run = a_run(x="-1", y="0.5", width="0.4")
    assert view(newest(click(run, way="Zoom out")))["width"] == Decimal("1.6")
    whole = newest(click(run, way="The whole set"))
    assert str(whole) == "Mandelbrot set"


def test_a_browser_is_sent_to_the_new_run(db: None, browser_client: Client) -> None:
    run = a_run()
    reply = click(run, browser_client, way="Zoom in")
    assert reply.status_code == 303
    assert reply["Location"] == Run.objects.latest("pk").get_absolute_url()


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{}, {"way": "Nowhere"}, {"way": ""}, {"at-5x5.x": "5"}, {"at-5x5.x": "x"}]
)
def test_a_click_at_no_place_is_refused(db: None, fields: dict[str, str]) -> None:
    reply = click(a_run(), None, **fields)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith("Say where: at-<width>x<height>.x and")
    assert Run.objects.count() == 1


def test_pictures_of_another_computation_are_no_buttons(db: None) -> None:
    run = started("/compute/primes/start/", n=10)
    reply = Client().post("/compute/primes/click/", {"task_id": run.task_id, "way": "Zoom in"})
    assert reply.status_code == 400


def test_the_form_may_refuse_where_it_leads(db: None, browser_client: Client) -> None:
    run = a_run(x="-1.5", y="0", width="1e-13")
    reply = click(run, way="Zoom in")
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith("width: Give a width of at least")
    html = click(run, browser_client, way="Zoom in").content.decode()
    assert 'value="2.5E-14"' in html
    assert "a processor&#x27;s numbers have 16 digits" in html


def test_only_a_post_clicks(db: None) -> None:
    run = a_run()
    reply = Client().get(CLICK, {"task_id": run.task_id, "way": "Zoom in"})
    assert reply.status_code == 405
    assert Client().post(CLICK, {"task_id": "0" * 32, "way": "Zoom in"}).status_code == 404


def test_others_runs_are_not_clicked_at_where_runs_are_private(
    db: None, settings: Settings
) -> None:
    settings.RUNS_PRIVATE = True
    owner, other = Client(), Client()
    owner.force_login(User.objects.create_user("owner"))
    other.force_login(User.objects.create_user("other"))
    run = a_run(owner)
    Run.objects.update(shared=True)
    assert click(run, other, way="Zoom in").status_code == 403
    assert click(run, owner, way="Zoom in").status_code == 200


# --- on the page ---------------------------------------------------------------------------------


def test_a_runs_picture_is_a_button_in_two_sizes(db: None) -> None:
    run = a_run(x="-1", y="0.5", width="0.4")
    run_jobs()
    html = page(run)
    assert f'action="{CLICK}"' in html
    for size in (280, 512):
        assert f'name="at-{size}x{size}"' in html
        assert f'width="{size}" height="{size}"' in html
    for way in ("Zoom in", "Zoom out", "The whole set"):
        assert f'<button class="small" name="way" value="{way}">{way}</button>' in html
    link = re.search(r'<a href="/compute/mandelbrot/\?([^"]*)">The address of this view</a>', html)
    assert link
    texts = {"x": "-1", "y": "0.5", "width": "0.4", "pixels": "64", "iterations": "5"}
    assert QueryDict(unescape(link[1])).dict() == texts


def test_its_address_fills_the_form_in(db: None, browser_client: Client) -> None:
    reply = browser_client.get("/compute/mandelbrot/?x=-1&width=0.4", headers=HTML)
    html = reply.content.decode()
    for name, value in (("x", "-1"), ("y", "0"), ("width", "0.4"), ("iterations", "1000")):
        assert f'name="{name}" value="{value}"' in html
    assert not Run.objects.exists()


@pytest.mark.parametrize("way", [{"way": "On"}, {"at-512x512.x": "5", "at-512x512.y": "5"}])
def test_a_mistake_in_a_forms_code_is_its_authors(
    db: None, declare: Declare, admin: Client, way: dict[str, str]
) -> None:
    odd(declare, Raising)
    run = started("/compute/odd/start/", pixels=64, iterations=5)
    for client, told in ((Client(), False), (admin, True)):
        reply = client.post("/compute/odd/click/", {"task_id": run.task_id, **way})
        assert reply.status_code == 422
        assert ("odd: its `form` raised" in reply.json()["detail"]) == told
    assert Run.objects.count() == 1
