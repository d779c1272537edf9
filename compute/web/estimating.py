"""How long a run would take, asked while its form is being filled in."""

from __future__ import annotations

from typing import Any

from django.forms import Form
from django.http import HttpResponse

from .pages.estimate import estimate
from .replies import page_or_json, wants_page
from .runs import ComputationFormView


class EstimateView(ComputationFormView):
    """Starts nothing. A page asks for the sentence alone; an address that is typed or shared
    shows the form, filled in."""

    def form_valid(self, form: Form) -> HttpResponse:
        found = estimate(self.request, self.computation, form)
        if self.request.htmx:
            return self.sentence(found)
        data = {
            name: getattr(found, name, None)
            for name in ("seconds", "starts_in", "chunks", "workers")
        }
        context = self.context(form) if wants_page(self.request) else {}
        return page_or_json(self.request, self.template, context, data)

    def refuse_form(
        self, form: Form, status: int, headers: dict[str, str] | None = None
    ) -> HttpResponse:
        """What is being typed is not wrong yet."""
        return self.sentence(None) if self.request.htmx else super().refuse_form(form, status)

    def sentence(self, found: Any) -> HttpResponse:
        return page_or_json(self.request, "compute/_estimate.html", {"expected": found}, {})
