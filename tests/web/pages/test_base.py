"""What every page with a form says."""

from __future__ import annotations

import pytest

from compute.queue import pauses
from compute.queue.models import Node
from tests.web.pages.reading import page


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
