"""report.html: one file with everything in it, to be read in any browser and printed; nothing in it runs or is fetched.

Texts may come from strangers: the template escapes all of them.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from contracts.emotions import COLOURS, EMOTIONS

_TEMPLATE = Path(__file__).parent / "report.html.jinja"


@dataclass(frozen=True)
class Picture:
    """An SVG picture, and what it says in words."""

    svg: bytes
    alt: str

    @property
    def url(self) -> str:
        """The picture as a URL that holds it."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@dataclass(frozen=True)
class ReportTable:
    """A table of texts. ``numbers`` are the columns that are aligned to the right; ``shades`` darken cells (0 to 1)."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[str] = frozenset()
    caption: str = ""
    shades: Mapping[tuple[int, int], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it: sentences, pictures, tables."""

    heading: str
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[ReportTable] = ()


@dataclass(frozen=True)
class Attachment:
    """A file inside the report, to be saved by a click."""

    name: str
    media_type: str
    content: bytes

    @property
    def url(self) -> str:
        """The file as a URL that holds it."""
        return f"data:{self.media_type};base64," + base64.b64encode(self.content).decode()


@dataclass(frozen=True)
class Report:
    """What a report says: its title, facts (the source, the model, the settings), sections, and files within."""

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    attachments: Sequence[Attachment] = ()


def make_html(report: Report) -> bytes:
    """Return the report as an HTML file."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    colours = [(name, COLOURS[name]) for name in EMOTIONS]
    return template.render(report=report, colours=colours).encode()
