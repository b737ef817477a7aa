"""Reports of what a page shows, as one file (``reports.html``): of what they are, and who has them made."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard.actions.exporting_actions import prepare_file
from dashboard.queries.reporting_queries import read_camera_origin
from dashboard.texts import tell_moment, tell_seconds, to_line
from reports.html import Attachment, Report, Section, make_html


class Shown(NamedTuple):
    """What a page shows: of what, from when to when (a ``zone`` makes it wall-clock times), made by what."""

    about: Mapping[str, Any]
    start: float
    end: float
    zone: ZoneInfo | None
    models: Sequence[str]
    settings: Sequence[str]

    @property
    def origin(self) -> dict[str, Any]:
        """What the last columns of a table's file say."""
        settings = [json.loads(one) for one in self.settings]
        told = settings[0] if len(settings) == 1 else settings
        return {**self.about, "model_id": ", ".join(self.models), "settings": told}

    @property
    def title(self) -> str:
        """What it is of."""
        return to_line(str(self.about["source"]), 200)

    @property
    def range(self) -> str:
        """From when to when."""
        return f"{self.tell(self.start)} to {self.tell(self.end)}" + (f" ({self.zone})" if self.zone else "")

    @property
    def facts(self) -> str:
        """The range, the models and the settings in a few lines, for pictures."""
        made = [self.range, f"model {', '.join(self.models) or '–'}", f"session {str(self.about['session_id'])[:13]}"]
        return "\n".join(["   ·   ".join(made), *(to_line(one, 180) for one in self.settings[:1])])

    def tell(self, moment: float) -> str:
        """Return a moment in words."""
        return tell_seconds(moment) if self.zone is None else tell_moment(moment, self.zone)


def find_shown(about: Mapping[str, Any], start: float, end: float, zone: ZoneInfo | None) -> Shown:
    """Return what a page shows; ``about`` has session_id and source, and model_id and settings.

    Of a camera, whose sessions have their own, ``about`` has its source's id as the session_id, and neither.
    """
    if zone is None:
        settings = json.dumps(about["settings"], sort_keys=True)
        return Shown(about, start, end, zone, [str(about["model_id"])], [settings])
    origin = read_camera_origin(str(about["session_id"]), start, end)
    return Shown(about, start, end, zone, origin.models, origin.settings)


def offer(report: Callable[[str], bytes], picture: Callable[[str], bytes], shown: Shown, kind: str) -> None:
    """Offer a report and a picture of a ``kind``; both are given their author's name when somebody asks for one."""
    session_id = str(shown.about["session_id"])
    files = (
        ("Report", report, "html", "text/html", ":material/description:",
         "What is shown, with its numbers, the model and the settings, as one file to read and print."),
        ("PNG", picture, "png", "image/png", ":material/image:", "What is shown as a picture, with the model."),
    )  # fmt: skip
    with st.container(horizontal=True):
        for label, make, ending, media_type, icon, told in files:
            details = {"kind": kind, "format": ending, "start": shown.start, "end": shown.end}
            st.download_button(
                label, prepare_file(make, "report.make", session_id, **details),
                f"emotrace-{session_id[:13]}-{kind}.{ending}", media_type, key=f"{ending}-{kind}-{session_id}",
                icon=icon, help=told, on_click="ignore",
            )  # fmt: skip


def make_report(
    shown: Shown, kind: str, author: str, sections: Sequence[Section], attachments: Sequence[Attachment] = ()
) -> bytes:
    """Return the report as a file: what it is of, when and by whom it was made, and what was shown."""
    name = shown.title
    zone = shown.zone or ZoneInfo("UTC")
    facts = [
        ("Source", name),
        ("Camera" if shown.zone is not None else "Session", str(shown.about["session_id"])),
        ("Range", shown.range),
        ("Model", ", ".join(shown.models) or "–"),
        *(("Settings", one) for one in shown.settings),
        ("Made", f"{tell_moment(time.time(), zone)} ({zone}), by {to_line(author)}"),
    ]
    return make_html(Report(f"{kind} of {name}", "emotrace report", facts, sections, attachments))
