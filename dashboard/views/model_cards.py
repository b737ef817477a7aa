"""Models: what each one says of itself, its figures, and which cameras and recordings use it."""

from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from dashboard.queries import model_queries
from dashboard.queries.model_queries import Model
from dashboard.reading import model_figures
from dashboard.texts import show_errors, tell_moment, to_line, to_markdown
from dashboard.widgets import choosing


def render() -> None:
    """Draw the page."""
    st.title("Models")
    zone = choosing.choose_zone()
    models, uses = model_queries.list_models(), model_queries.list_uses()
    if not models:
        st.info(
            "No model is known here yet: its card is stored when its first session begins.",
            icon=":material/model_training:",
        )
        return
    for model in models:
        of_model = uses[uses["model_id"] == model.card.model_id]
        with st.container(border=True):
            _show_card(model, of_model, zone)


def _show_card(model: Model, uses: pd.DataFrame, zone: ZoneInfo) -> None:
    card = model.card
    st.subheader(to_markdown(card.model_id))
    since = f"here since {tell_moment(model.created_at, zone)}" if model.created_at is not None else "not used here yet"
    kind = "grey" if card.input.channels == 1 else "colour"
    facts = [
        *(["the model of new sessions"] if model.is_default else []),
        since,
        f"{kind} crops of {card.input.size_px} × {card.input.size_px} pixels",
        f"windows of up to {card.window_length} crops",
        f"temperature {card.temperature:.3g}",
    ]
    st.caption(to_markdown("   ·   ".join(facts), 400))
    _show_figures(model)
    _show_uses(uses, zone)
    with st.expander("The whole card"):
        details = {
            "labels": list(card.labels), "network": card.network, "training": card.training,
            "weights": {"sha256": card.sha256},
        }  # fmt: skip
        st.dataframe(model_figures.list_figures(details), hide_index=True, height="content")


def _show_figures(model: Model) -> None:
    figures, scores = model_figures.list_figures(model.card.figures), model_figures.list_scores(model.card.figures)
    if figures.empty and scores.empty:
        st.caption("Its card has no figures.")
        return
    first, second = st.columns(2)
    with first:
        st.markdown("**Figures**")
        st.dataframe(figures, hide_index=True, height="content")
    if len(scores):
        with second:
            st.markdown("**By emotion**")
            column = st.column_config
            table = scores.set_index("score").T.rename_axis("emotion").reset_index()
            bars = {
                name: column.ProgressColumn(format="%.3f", min_value=0.0, max_value=1.0) for name in table.columns[1:]
            }
            st.dataframe(table, hide_index=True, column_config=bars, height="content")


def _show_uses(uses: pd.DataFrame, zone: ZoneInfo) -> None:
    st.markdown("**Used by**")
    if uses.empty:
        st.caption("No camera and no recording.")
        return
    shown = uses.assign(
        name=uses["name"].map(to_line),
        kind=uses["kind"].map(lambda kind: "camera" if kind == choosing.CAMERA else "recording"),
        newest_at=pd.to_datetime(uses["newest_at"], unit="s", utc=True).dt.tz_convert(zone),
        link=uses["source_id"].map(lambda source_id: f"/?source={source_id}"),
    )
    column = st.column_config
    st.dataframe(
        shown, hide_index=True, height=min(36 * (len(shown) + 1) + 3, 300),
        column_order=["kind", "name", "num_open", "num_sessions", "newest_at", "link"],
        column_config={
            "kind": "Kind",
            "name": "Name",
            "num_open": column.NumberColumn("Now", help="Sessions that go on."),
            "num_sessions": column.NumberColumn("Sessions"),
            "newest_at": "Last begun",
            "link": column.LinkColumn("Timeline", display_text="open"),
        },
    )  # fmt: skip


with show_errors():
    render()
