"""What a person does to a run that is theirs: how it is asked for, refused and answered."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from ..models import Run
from .base import ReplyView, find_run, reply_with
from .limits import TooMuch
from .owners import may_manage
from .replies import refuse


class NotNow(Exception):
    """The run is in no state for this. Its text says why, and what to do."""


class ActionView(ReplyView):
    """Does one thing to a run, for its owner and staff: `act`, whose result JSON has as `done`."""

    http_method_names = ["post"]
    done: str

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        if not may_manage(request, run):
            return refuse_stranger(request)
        return self.asked(run) or self.answer(run)

    def asked(self, run: Run) -> HttpResponse | None:
        """A refusal, or a question that comes first; None if there is neither."""
        return None

    def answer(self, run: Run) -> HttpResponse:
        try:
            done = self.act(run)
        except TooMuch as error:
            headers = {"Retry-After": str(error.retry_after)}
            return refuse(self.request, 429, str(error), headers=headers)
        except NotNow as error:
            return refuse(self.request, 409, str(error))
        return self.reply(run, done)

    def reply(self, run: Run, done: Any) -> HttpResponse:
        return reply_with(self.request, run.get_absolute_url(), {self.done: done})

    def act(self, run: Run) -> Any:
        raise NotImplementedError


def refuse_stranger(request: HttpRequest) -> HttpResponse:
    return refuse(request, 403, "Only whoever started this run may do that, and staff.")
