"""The report of a summary: time per emotion, transitions, episodes, quality and coverage, with their numbers."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from contracts.emotions import EMOTIONS, UNCERTAIN_BELOW
from dashboard.files.reporting import Shown, make_report, offer
from dashboard.reading.rows import iterate_rows
from dashboard.reading.summing import Summary
from dashboard.texts import tell_duration, tell_state, to_line
from reports.derived import Floats
from reports.html import Picture, ReportTable, Section
from reports.report_pictures import draw_shares, draw_shares_page

_MAX_EPISODES = 500


def offer_summary(shown: Shown, summary: Summary, emotions: Sequence[str]) -> None:
    """Offer the report of a summary, with the episodes of some ``emotions``, or of all where there are none."""
    if emotions:
        summary = summary._replace(episodes=summary.episodes[summary.episodes["label"].isin(emotions)])
    offer(partial(make_summary, shown, summary), partial(make_picture, shown, summary), shown, "summary")


def make_picture(shown: Shown, summary: Summary, _author: str) -> bytes:
    """Return the time per emotion as a PNG."""
    return draw_shares_page(to_line(f"Time per emotion: {shown.title}", 70), shown.facts, *_find_shares(summary))


def make_summary(shown: Shown, summary: Summary, author: str) -> bytes:
    """Return the report of a summary."""
    sections = [*_describe_shares(summary), *_describe_episodes(shown, summary), *_describe_quality(summary)]
    return make_report(shown, "Summary", author, sections)


def _find_shares(summary: Summary) -> tuple[list[str], Floats]:
    """Return the faces, and each one's seven shares."""
    shares = summary.shares
    faces = list(dict.fromkeys(shares["face"]))
    if not faces:
        return ["no results"], np.zeros((1, len(EMOTIONS)))
    wide = shares.pivot_table(index="face", columns="label", values="share", fill_value=0.0)
    return faces, wide.reindex(index=faces, columns=list(EMOTIONS), fill_value=0.0).to_numpy(np.float64)


def _describe_shares(summary: Summary) -> list[Section]:
    shares = summary.shares
    if shares.empty:
        return [Section("Time per emotion", ["No results in this range."])]
    rows = [
        (row.face, row.label, f"{row.rows:,}", f"{row.seconds:.1f}", f"{row.share:.1%}") for row in iterate_rows(shares)
    ]
    table = ReportTable(("face", "emotion", "rows", "seconds", "share"), rows, frozenset(("rows", "seconds", "share")))
    picture = Picture(draw_shares(*_find_shares(summary)), "Share of time per emotion and face.")
    numbers = summary.transitions.to_numpy()
    most = max(1, int(numbers.max()))
    shades = {(row, column + 1): float(number) / most for (row, column), number in np.ndenumerate(numbers)}
    cells = [(name, *(str(number) for number in row)) for name, row in zip(EMOTIONS, numbers, strict=True)]
    transitions = ReportTable(("from ↓ to →", *EMOTIONS), cells, frozenset(EMOTIONS), shades=shades)
    return [
        Section("Time per emotion", (), [picture], [table]),
        Section("Transitions", ["How often the leading emotion of a face gave way to another within a second."],
                tables=[transitions]),
    ]  # fmt: skip


def _describe_episodes(shown: Shown, summary: Summary) -> list[Section]:
    episodes = summary.episodes
    notes = [
        "Stretches of half a second and longer over which one emotion led a face; peak and mean are its probability."
    ]
    if len(episodes) > _MAX_EPISODES:
        notes.append(f"The {_MAX_EPISODES} longest of {len(episodes):,}.")
        episodes = episodes.nlargest(_MAX_EPISODES, "seconds").sort_values("start")
    rows = [
        (one.face, one.label, shown.tell(one.start), shown.tell(one.end), f"{one.seconds:.1f}", f"{one.peak:.0%}",
         f"{one.mean:.0%}")
        for one in iterate_rows(episodes)
    ]  # fmt: skip
    columns = ("face", "emotion", "from", "to", "seconds", "peak", "mean")
    return [Section("Episodes", notes, tables=[ReportTable(columns, rows, frozenset(("seconds", "peak", "mean")))])]


def _describe_quality(summary: Summary) -> list[Section]:
    quality = summary.quality
    columns = list(quality.columns)
    rows = [
        [to_line(str(row[0])), f"{int(row[1]):,}", *(f"{value:.3f}" for value in row[2:])]
        for row in quality.itertuples(index=False)
    ]
    coverage = [
        (tell_state(row.state), tell_duration(row.seconds), f"{row.share:.1%}")
        for row in iterate_rows(summary.coverage)
    ]
    return [
        Section("Quality", [f"Means over all rows; uncertain: the share of rows below {UNCERTAIN_BELOW:.0%}."],
                tables=[ReportTable(columns, rows, frozenset(columns[1:]))]),
        Section("Coverage", ["For how long there are results, and why there are none for the rest."],
                tables=[ReportTable(("state", "for", "share"), coverage, frozenset(("share",)))]),
    ]  # fmt: skip
