"""Pages as a browser, or a part of one, reads them."""

from __future__ import annotations

from django.test import Client

from compute.models import Run

HTML = {"accept": "text/html"}
FRAGMENT = {**HTML, "hx-request": "true"}


def page(address: str, client: Client | None = None, /, **headers: str) -> str:
    response = (client or Client()).get(address, headers={**HTML, **headers})
    assert response.status_code == 200
    return response.content.decode()


def fragment(run: Run, client: Client | None = None) -> str:
    return page(run.get_absolute_url(), client, **FRAGMENT)


def runs_by_hand(count: int, first: int = 0) -> None:
    Run.objects.bulk_create(
        Run(
            task_id=f"{n:032x}",
            computation="sum",
            parameters={"n": n},
            state=Run.State.DONE,
            result=n,
        )
        for n in range(first, first + count)
    )
