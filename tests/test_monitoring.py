"""The dashboard and the alerts ask for what is there, and each alert says what to do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_file import COMPOSE
from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry

from contracts.metrics import FleetState, register_cameras, register_fleet

ROOT = Path(__file__).parent.parent
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "emotrace.json").read_text())
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
# Prometheus's own, and those of any process of the client library.
FOREIGN = {"up", "process_resident_memory_bytes"}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def list_samples() -> Iterator[str]:
    """The name of every sample that one of our processes may show."""
    shown = CollectorRegistry()
    register_cameras(lambda: [], shown)
    register_fleet(FleetState, shown)
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    for metric in [*shown.collect(), *REGISTRY.collect()]:
        yield from (metric.name + ending for ending in endings.get(metric.type, ("",)))


def list_queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (rule["expr"] for rule in ALERTS)
    for path in (ROOT / "deploy" / "kubernetes" / "components" / "keda").glob("scaling.yaml"):
        for one in yaml.safe_load_all(path.read_text()):
            triggers = one["spec"].get("triggers", [])
            yield from (trigger["metadata"]["query"] for trigger in triggers if "query" in trigger["metadata"])


def list_metrics(query: str) -> set[str]:
    """The metrics that a query names: words with a selector or a range, or that begin as ours do."""
    return set(re.findall(r"\bemotrace_\w+|\b\w+(?=[{\[])", re.sub(r'"[^"]*"', '""', query)))


@pytest.mark.parametrize("query", sorted(set(list_queries())))
def test_a_query_asks_for_metrics_that_exist(query: str) -> None:
    found = list_metrics(query)
    assert found
    assert found <= {*list_samples(), *FOREIGN}


def test_every_metric_is_looked_at() -> None:
    asked = {name for query in list_queries() for name in list_metrics(query)}
    unseen = {re.sub(r"_(bucket|sum|count)$", "", name) for name in list_samples() if name.startswith("emotrace_")}
    unseen -= {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    # Of use when a cause is looked for.
    assert unseen <= {"emotrace_cameras_started_total", "emotrace_ingest_hosts"}


def test_each_alert_has_a_section_and_each_section_an_alert() -> None:
    sections = dict(re.findall(r"^### (Emotrace\w+)\n\n(.*?)\n\n(?=#)", OPERATIONS, re.MULTILINE | re.DOTALL))
    assert set(sections) == {rule["alert"] for rule in ALERTS}
    for rule in ALERTS:
        assert sections[rule["alert"]].startswith(f"{rule['labels']['severity']}. "), "both say how urgent it is"
        assert rule["annotations"]["summary"]


def test_links_within_the_page_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", OPERATIONS, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]*)\)", OPERATIONS)) <= anchors


def test_variables_that_the_page_lists_are_those_of_the_compose_file() -> None:
    used = set(re.findall(r"\$\{(\w+):-", (ROOT / "docker-compose.yml").read_text()))
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", OPERATIONS, re.MULTILINE) for name in re.findall("[A-Z_]+", row)
    }
    assert used - {"GPU_IMAGE"} <= listed


def test_commands_that_the_page_names_exist() -> None:
    import typer

    from cli.main import app

    group = typer.main.get_group(app)
    coming = {"batch"}
    for words in re.findall(r"\bemotrace ([a-z]+(?: [a-z]+)?)", re.sub(r"```.*?```", "", OPERATIONS, flags=re.DOTALL)):
        name, *rest = words.split()
        if f"`emotrace {words}" not in OPERATIONS or name in coming:
            continue
        assert name in group.commands, words
        inner = getattr(group.commands[name], "commands", None)
        assert inner is None or rest[0] in inner, words


def test_prometheus_scrapes_every_process_that_serves_metrics() -> None:
    scraped = {
        name for job in PROMETHEUS["scrape_configs"] for found in job["dns_sd_configs"] for name in found["names"]
    }
    serving = {name for name, service in COMPOSE["services"].items() if "--health-port" in service.get("command", [])}
    assert scraped == serving
    assert PROMETHEUS["rule_files"] == ["alerts.yml"]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
