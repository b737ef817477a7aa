"""Recordings of batches in words: what happens to each, how far it is, and what may be done about it."""

from typing import NamedTuple

from contracts import parts, store


class Recording(NamedTuple):
    """One recording of a batch.

    ``state`` is in words; ``share`` of it is read, the rest takes about ``left_s`` seconds more (None: not known);
    ``problem`` is "" where there is none.
    """

    session_id: str
    source_id: str
    name: str
    batch_id: str
    state: str
    share: float
    left_s: float | None
    problem: str
    at: float
    may_cancel: bool
    may_retry: bool
    has_rows: bool


def describe(row: store.Row) -> Recording:
    """Return a row of ``batches.list_files`` as it is shown."""
    begun = row["num_done"] + row["num_running"] + row["num_failed"] + row["num_cancelled"]
    over = row["num_done"] + row["num_failed"] + row["num_cancelled"]
    state = str(row["status"])
    if state == store.RUNNING:
        state = "waiting for a free worker" if not begun else "being read"
        if over == row["num_parts"]:
            state = "read; its last faces wait for inference"
    left_s = None
    if row["num_running"] and row["done_s"] > 0 and row["reading_s"] > 0:
        speed = row["done_s"] / row["reading_s"] * row["num_running"]
        left_s = max(0.0, row["total_s"] - row["done_s"]) / speed
    failed = [f"{row[f'num_{status}']} parts {status}" for status in (parts.FAILED, parts.CANCELLED)
              if row[f"num_{status}"]]  # fmt: skip
    return Recording(
        session_id=row["session_id"],
        source_id=row["source_id"],
        name=row["source"],
        batch_id=row["batch_id"],
        state=state,
        share=min(1.0, row["done_s"] / row["total_s"]) if row["total_s"] else float(over == row["num_parts"]),
        left_s=left_s,
        problem=row["error"] or ", ".join(failed),
        at=row["created_at"],
        may_cancel=row["status"] == store.RUNNING and over < row["num_parts"],
        may_retry=bool(row["num_failed"] or row["num_cancelled"]) or row["status"] == store.INCOMPLETE,
        has_rows=row["done_s"] > 0,
    )
