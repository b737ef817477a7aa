"""Models: their cards, their figures, and what uses which."""

import pytest
import sqlalchemy as sa
from dashboard_pages import list_texts, open_app
from timeline_rows import make_session

from contracts import model_uses
from contracts.emotions import EMOTIONS
from contracts.model_card import read_card
from contracts.schema import models, sessions
from dashboard.reading import model_figures


@pytest.fixture
def url(sqlite_engine: sa.Engine) -> str:
    return str(sqlite_engine.url)


def test_a_model_is_listed_with_what_uses_it(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        first, second = (make_session(connection, name=name) for name in ("a.mp4", "b.mp4"))
        connection.execute(
            sa.update(sessions).where(sessions.c.session_id == second["session_id"]).values(ended_at=None)
        )
        (model,) = model_uses.list_models(connection)
        uses = {row["name"]: row for row in model_uses.list_model_uses(connection)}
    assert model["model_id"] == first["model_id"] and model["card"]["name"] == "production"
    assert {name: (row["num_sessions"], row["num_open"]) for name, row in uses.items()} == {
        "a.mp4": (1, 0), "b.mp4": (1, 1),
    }  # fmt: skip


def test_models_shows_cards_figures_and_uses(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    app = open_app(monkeypatch, url, "model_cards")
    assert "not used here yet" in list_texts(app)
    card = read_card("production")
    with sqlite_engine.begin() as connection:
        make_session(connection, name="<b>film</b>.mp4")
        broken = {"model_id": "x-1", "name": "x", "card": {"labels": 3}, "created_at": 0.0}
        connection.execute(sa.insert(models), broken)
    app = open_app(monkeypatch, url, "model_cards")
    assert [one.value for one in app.subheader] == [card.model_id.replace("-", "\\-")]
    uses = next(table.value for table in app.dataframe if "num_open" in table.value)
    assert uses["name"].tolist() == ["<b>film</b>.mp4"] and uses["num_sessions"].tolist() == [1]
    scores = next(table.value for table in app.dataframe if "emotion" in table.value)
    assert scores["emotion"].tolist() == list(EMOTIONS)


def test_figures_of_any_shape_are_laid_out() -> None:
    card = read_card("production")
    scores, figures = model_figures.list_scores(card.figures), model_figures.list_figures(card.figures)
    assert scores["score"].tolist() == ["PublicTest-B · ferplus · f1", "PublicTest-B · fer2013 · f1"]
    accuracy = str(card.figures["PublicTest-B"]["ferplus"]["accuracy"])
    assert ("PublicTest-B · ferplus", "accuracy", accuracy) in figures.itertuples(index=False, name=None)
    odd = model_figures.list_figures({"a": [1, "<b>"], "b": {"c": {"d": None}}, "e": "x" * 10_000})
    assert odd["value"].tolist()[:2] == ["1, <b>", "None"] and len(odd["value"].iloc[2]) <= 200
    assert model_figures.list_scores({}).empty
