"""The name and the note that an owner gives a run."""

from __future__ import annotations

from unicodedata import category

from django import forms
from django.http import HttpResponse

from ..given import storable
from ..models import Run
from ..models.run import NAME_CHARS, NOTE_CHARS
from ..refusals import refusal_of
from .acting import ActionView
from .base import parameters
from .replies import refuse

#: Signs that change the direction of the text behind them: embeddings, overrides, isolates.
TURNS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


class NoteForm(forms.Form):
    name = forms.CharField(required=False, max_length=NAME_CHARS)
    note = forms.CharField(required=False, max_length=NOTE_CHARS)

    def clean_name(self) -> str:
        return line_of(self.cleaned_data["name"])


def line_of(text: str) -> str:
    """The text as a line that begins and ends with a character that can be seen, and turns no
    text behind it around."""
    words = " ".join(text.translate(TURNS).split())
    seen = [at for at, character in enumerate(words) if not is_invisible(character)]
    return words[seen[0] : seen[-1] + 1] if seen else ""


def is_invisible(character: str) -> bool:
    return character.isspace() or category(character) in ("Cf", "Cc")


class NoteView(ActionView):
    """Names a run and notes something of it, `name` and `note`; one that is left out stays."""

    done = "noted"

    def asked(self, run: Run) -> HttpResponse | None:
        given = parameters(self.request)
        names = [name for name in NoteForm.base_fields if name in given]
        if not names:
            return refuse(
                self.request, 400, "Give a name, a note, or both; empty ones are removed."
            )
        form = NoteForm({name: storable(str(given[name])) for name in names})
        if refusal := refusal_of(form):
            return refuse(self.request, 400, refusal.detail, fields=refusal.fields)
        self.noted = {name: form.cleaned_data[name] for name in names}
        return None

    def act(self, run: Run) -> dict[str, str]:
        if "note" in self.noted:
            self.noted["note"] = self.noted["note"].replace("\r\n", "\n")
        Run.objects.filter(pk=run.pk).update(**self.noted)
        run.refresh_from_db(fields=["name", "note"])
        return {"name": run.name, "note": run.note}
