"""A form of a page, filled in as it is and sent as a browser sends it."""

from __future__ import annotations

from html.parser import HTMLParser


class Controls(HTMLParser):
    """What the forms of a page send to an address, if nobody changes anything."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.action = action
        self.inside = False
        self.sent: dict[str, list[str]] = {}
        self.select: str | None = None
        #: What a select of one has if none is chosen: its first option; None once that is known.
        self.first: str | None = None
        self.area: str | None = None
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.inside = has.get("action") == self.action
        if not self.inside:
            return
        name = has.get("name", "")
        if tag == "input" and name:
            if has.get("type") in ("checkbox", "radio") and "checked" not in has:
                return
            self.add(name, has.get("value", "on" if has.get("type") == "checkbox" else ""))
        elif tag == "select":
            self.select = name
            self.first = None if "multiple" in has else ""
        elif tag == "option" and self.select:
            if "selected" in has:
                self.add(self.select, has.get("value", ""))
                self.first = None
            elif self.first == "":
                self.first = has.get("value", "")
        elif tag == "textarea":
            self.area, self.text = name, ""

    def handle_data(self, data: str) -> None:
        if self.area:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False
        elif tag == "textarea" and self.area:
            text = self.text.removeprefix("\n").removeprefix("\r\n")
            self.add(self.area, text.replace("\r\n", "\n").replace("\n", "\r\n"))
            self.area = None
        elif tag == "select":
            if self.select and self.first is not None:
                self.add(self.select, self.first)
            self.select = None

    def add(self, name: str, value: str) -> None:
        self.sent.setdefault(name, []).append(value)


def sent_by(html: str, action: str) -> dict[str, list[str]]:
    controls = Controls(action)
    controls.feed(html)
    return controls.sent
