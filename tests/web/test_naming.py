"""The site's name on its pages, and the tutorial that it shows or hides."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, RequestFactory

from compute.web.naming import names
from tests.web.pages.reading import HTML, page

HOSTILE = '<b>"Labs" & Söhne</b>'


def test_every_page_is_told(settings: Any, rf: RequestFactory) -> None:
    settings.SITE_NAME, settings.TUTORIAL = "Lab", False
    assert names(rf.get("/")) == {"name_of_site": "Lab", "tutorial": False}


@pytest.mark.parametrize(
    "address", ["/", "/nodes/", "/login/", "/compute/primes/", "/sum-check/?task_id=1", "/nowhere"]
)
def test_a_page_has_the_sites_name_in_its_title_and_header(
    db: None, settings: Any, address: str
) -> None:
    settings.SITE_NAME = HOSTILE
    html = Client().get(address, headers=HTML).content.decode()
    title = html.partition("<title>")[2].partition("</title>")[0]
    assert "&lt;b&gt;&quot;Labs&quot; &amp; Söhne&lt;/b&gt;" in title
    assert html.count("Söhne") >= 2
    assert "<b>" not in html
    assert "sumsite" not in html


def test_without_the_tutorial_no_page_has_its_sign(db: None, settings: Any) -> None:
    assert "Σ" in page("/nodes/")
    settings.TUTORIAL = False
    assert "Σ" not in page("/nodes/")
