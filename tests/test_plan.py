"""``emotrace plan`` and its page: what they say of small and large installations, and that both say the same.

``python tests/test_plan.py`` writes what the command says now into the page.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from conftest import RunEmotrace
from stored_rows import CARD, make_row

from contracts import store
from contracts.database import migrate, open_database
from contracts.plan import INFERENCE, INGEST, PICTURES, POSTGRESQL, VALKEY, Plan, Wish, make_plan
from contracts.schema import emotions

PAGE = Path(__file__).parent.parent / "docs" / "scaling.md"
_CONSOLE = re.compile(r"```console\n\$ (emotrace plan [^\n]*)\n(.*?)```\n", re.DOTALL)


def ask(command: str) -> str:
    words = shlex.split(command)[1:]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", *words], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def fill_page(page: str) -> str:
    """Return the page with what the commands that it shows say now."""
    return _CONSOLE.sub(lambda found: f"```console\n$ {found[1]}\n{ask(found[1])}```\n", page)


def test_the_page_shows_what_the_command_says() -> None:
    page = PAGE.read_text()
    assert len(_CONSOLE.findall(page)) == 3
    assert fill_page(page) == page, "write it anew with: python tests/test_plan.py"


def test_programs_get_the_same_numbers(run_emotrace: RunEmotrace) -> None:
    done = run_emotrace("plan", "--cameras", 40, "--faces", 0.5, "--resolution", "1080p", "--json")
    found, plan = json.loads(done.stdout), make_plan(Wish(40, faces=0.5, resolution="1080p"))
    assert found["parts"][INGEST]["cores"] == plan.parts[INGEST].cores > 0
    assert found["rows_per_day"] == 40 * 5 * 0.5 * 86_400
    assert found["hosts"] == plan.hosts


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cameras", 10, "--resolution", "8k"], "Known are 360p, 720p, 1080p"),
        (["--cameras", 10, "--fps", 30], "30 of 15 frames a second"),
        (["--cameras", 0], "--cameras"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(run_emotrace: RunEmotrace, options: list[object], words: str) -> None:
    done = run_emotrace("plan", *options)
    assert done.returncode == 2 and words in done.stderr and not done.stdout


def test_ten_cameras_fit_on_one_host_and_nothing_gives_way() -> None:
    plan = make_plan(Wish(10))
    assert (plan.hosts, plan.installations, plan.limits) == (1, 1, [])


def test_without_faces_only_ingest_works() -> None:
    plan = make_plan(Wish(100, faces=0))
    assert plan.parts[INGEST].cores > 1
    assert plan.parts[INFERENCE].cores == plan.database_gb == plan.gpus == 0
    assert plan.parts[INFERENCE].processes == 1


@pytest.mark.parametrize("resolution", PICTURES)
def test_cost_grows_with_cameras_faces_and_rate(resolution: str) -> None:
    def list_numbers(plan: Plan) -> list[float]:
        return [
            *(part.cores for part in plan.parts.values()),
            *(part.memory_gb for part in plan.parts.values()),
            *plan.mbits.values(),
            plan.database_gb,
            plan.hosts,
            plan.installations,
        ]

    few = list_numbers(make_plan(Wish(500, resolution=resolution)))
    for more in (Wish(50_000), Wish(500, faces=50), Wish(500, fps=15)):
        plan = make_plan(Wish(more.cameras, more.fps, more.faces, resolution))
        assert all(new >= old for new, old in zip(list_numbers(plan), few, strict=True))
    cores = [make_plan(Wish(number, resolution=resolution)).parts[INGEST].cores for number in (100, 200)]
    assert cores[1] == pytest.approx(2 * cores[0])


def test_a_server_is_never_given_more_than_one_thread_of_valkey_can_do() -> None:
    for cameras in (10, 999, 1001, 100_000):
        plan = make_plan(Wish(cameras, faces=3))
        assert plan.parts[VALKEY].cores / plan.installations <= 1
        assert plan.parts[VALKEY].processes == plan.parts[POSTGRESQL].processes == plan.installations


def test_the_pages_partitions_take_rows_by_the_time_of_their_session_and_are_dropped(postgresql_url: str) -> None:
    engine = open_database(postgresql_url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    migrate(engine)
    # As make_uuid7 makes them: 30 November and 1 December 2026, a second before and after midnight.
    before, after = (str(UUID(int=(1_796_083_200_000 + step_ms) << 80 | 0x7FFF << 64)) for step_ms in (-1000, 1000))
    make_partitions, drop, oldest = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with engine.begin() as connection:
        store.record_model(connection, CARD)
        for key in (before, after):
            store.record_session(
                connection, session_id=key, url=key, name=key, model_id=CARD.model_id, fingerprint="", settings={}
            )
        store.record_emotions(connection, [make_row(1, session_id=before)])
    with engine.begin() as connection:
        connection.exec_driver_sql(make_partitions)
        rows = [make_row(pts, session_id=key) for key in (before, after) for pts in (1, 2)]
        store.record_emotions(connection, rows)
        store.record_emotions(connection, rows)
        where = sa.select(sa.text("tableoid::regclass::text"), emotions.c.session_id).select_from(emotions)
        assert sorted(connection.execute(where).all()) == [
            ("emotions_2026_12", after),
            ("emotions_2026_12", after),
            ("emotions_before", before),
            ("emotions_before", before),
        ]
        assert connection.exec_driver_sql(oldest).scalar_one() == before
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(drop)
        assert set(connection.execute(sa.select(emotions.c.session_id)).scalars()) == {after}
    engine.dispose()


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text()))
