"""``emotrace plan``: what an installation of a given size needs."""

import json
from dataclasses import asdict

from contracts.plan import INFERENCE, UTILISATION, Plan, Wish, make_plan


def run(wish: Wish, as_json: bool) -> None:
    """Print the plan.

    Raises:
        UsageError: the wish makes no sense.
    """
    plan = make_plan(wish)
    print(json.dumps(asdict(plan), indent=2) if as_json else describe(plan))


def describe(plan: Plan) -> str:
    """Return the plan for people."""
    wish = plan.wish
    lines = [
        f"{wish.cameras:,} cameras of {wish.resolution}, {wish.source_fps:g} frames a second, {wish.fps:g} of them "
        f"analysed, {wish.faces:g} faces in view: {plan.faces_per_s:,.0f} faces a second",
        "",
        f"{'':12}{'cores':>10}{'memory, GB':>12}{'processes':>12}",
    ]
    for name, part in plan.parts.items():
        lines.append(f"{name:12}{part.cores:>10,.1f}{part.memory_gb:>12,.1f}{part.processes:>12,}")
    cores, memory_gb = (sum(getattr(part, name) for part in plan.parts.values()) for name in ("cores", "memory_gb"))
    lines += [
        f"{'in all':12}{cores:>10,.1f}{memory_gb:>12,.1f}",
        "",
        f"hosts          {plan.hosts:,} of {wish.host_cores} cores and {wish.host_gb:g} GB",
        f"or with GPUs   {plan.gpus:,}, and {plan.feeding_processes:,} inference processes in place of "
        f"{plan.parts[INFERENCE].processes:,}",
        f"disk           {plan.database_gb_per_day:,.1f} GB a day ({plan.rows_per_day / 1e6:,.1f} million rows), "
        f"{plan.database_gb:,.0f} GB in {wish.days:g} days",
        "network        " + ", ".join(f"{name} {mbits:,.0f}" for name, mbits in plan.mbits.items()) + " Mbit/s",
        f"connections    {plan.redis_clients:,} to a Valkey, {plan.database_clients:,} to a PostgreSQL",
    ]
    if plan.limits:
        lines += ["", "what gives way, and what to do:"]
        lines += [f"- {limit.what}: {limit.remedy}" for limit in plan.limits]
    lines += ["", f"Cores are used to {UTILISATION:.0%}. What is measured and what assumed: docs/scaling.md"]
    return "\n".join(lines)
