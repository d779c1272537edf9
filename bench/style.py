"""What all pictures look like, in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

STYLE = """
text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:15px}
.small{font-size:11px;fill:#57606a}.ours{fill:#0969da}.other{fill:#8c959f}.spread{stroke:#24292f}
.pale{opacity:.55}.paper{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.paper{fill:#0d1117}
.ours{fill:#4493f8}.other{fill:#6e7681}.spread{stroke:#e6edf3}}
"""


def svg(
    title: str, size: tuple[int, float], left: int, parts: Sequence[str], more: str = ""
) -> str:
    """A picture of so many pixels, its title at `left`, with `more` style of its own."""
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}{more}</style>"
        f'<rect class="paper" width="{width}" height="{height}"/>'
        f'<text class="title" x="{left}" y="24">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )
