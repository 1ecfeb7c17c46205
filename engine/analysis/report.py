"""What jobs share and could share, as text and as JSON. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.analysis.jobs import Orders
from engine.analysis.orders import trie
from engine.analysis.sharing import NearMiss, Sharing
from engine.analysis.strategies import Result, evaluate, feasible
from engine.dag import Dag
from engine.forest import branches, draw
from engine.step import SHORT, StepId
from engine.words import brief, counted, size, span

BUDGET = 10.0
"""Seconds for the search of an order."""
LINES = 40
"""How many branches a drawing has, about."""
MISSES, PLACES = 10, 3
"""Near-misses that the text lists, and the places that it tells of each."""


@dataclass(frozen=True, slots=True)
class Report:
    """A DAG, what its steps took and added to the store where that is known, and what was found out.

    `results` are the orders, as the jobs stand first.
    """

    dag: Dag
    seconds: Mapping[StepId, float]
    bytes: Mapping[StepId, int]
    sharing: Sharing
    near_misses: Sequence[NearMiss]
    results: Sequence[Result]

    @property
    def bound(self) -> int:
        """What no order can go below: each item once."""
        return len(self.sharing.jobs.names)

    @property
    def stands(self) -> Result:
        """The jobs as they are."""
        return self.results[0]

    @property
    def best(self) -> Result | None:
        """The order that saves most, the first of several; None where none needs fewer steps than the jobs as they
        stand."""
        best = min(self.results, key=lambda result: result.distinct)
        return best if best.distinct < self.stands.distinct else None

    def saved(self, costs: Mapping[StepId, float]) -> float:
        """What sharing saves of what is measured: seconds or bytes."""
        return math.fsum(costs[id] * (len(self.dag.jobs(id)) - 1) for id in self.dag.ids if id in costs)

    def excess(self, miss: NearMiss) -> float:
        """The seconds that would go if a near-miss's places were one: those of its steps, at their means."""
        total = 0.0
        for row in miss.rows:
            known = [self.seconds[id] for id in row if id in self.seconds]
            total += sum(known) / len(known) * (len(row) - 1) if known else 0.0
        return total

    def saved_by(self, orders: Orders) -> float:
        """The seconds that an order saves of what the jobs take as they stand."""
        return self.sharing.cost(self.sharing.jobs.jobs, self.seconds) - self.sharing.cost(orders, self.seconds)


def report(dag: Dag, seconds: Mapping[StepId, float], bytes: Mapping[StepId, int], budget: float = BUDGET) -> Report:
    """Find out. `merge` is no order for ops: nobody knows what each of them needs."""
    sharing = Sharing(dag)
    names = [name for name in feasible(sharing.jobs) if name != "merge"]
    stands, *others = evaluate(sharing.jobs, names, total=dag.total, seconds=budget)
    # Builds that do the same in another order are one item to copy from, but as they stand they are two steps.
    stands = replace(stands, distinct=len(dag), ratio=dag.total / len(dag) if len(dag) else 1.0)
    results = [stands, *others]
    return Report(dag, seconds, bytes, sharing, sharing.near_misses(), results)


def strategies(results: Sequence[Result]) -> list[dict[str, object]]:
    """The table of orders, as documents have it."""
    return [
        {"name": one.name, "distinct": one.distinct, "ratio": one.ratio, "depth": one.depth,
         "compute_seconds": one.compute_seconds}
        for one in results
    ]  # fmt: skip


def table(results: Sequence[Result]) -> Iterator[str]:
    """The table of orders, for people."""
    yield f"{'order':14} {'steps':>9} {'ratio':>8} {'depth':>6} {'computed in':>12}"
    yield from map(row, results)


def row(one: Result) -> str:
    return f"{one.name:14} {one.distinct:9,} {one.ratio:6.2f} × {one.depth:6,} {one.compute_seconds:10.2f} s"


def as_json(report: Report) -> dict[str, object]:
    """The document that docs/reference/cli.md describes."""
    dag, best = report.dag, report.best
    parents, jobs = dag.parents, dag.popularity
    return {
        "version": 1,
        "jobs": len(dag.plans),
        "steps": dag.total,
        "distinct": len(dag),
        "ratio": report.stands.ratio,
        "strategies": strategies(report.results),
        "bound": report.bound,
        "saved": {
            "steps": dag.total - len(dag),
            "seconds": report.saved(report.seconds),
            "bytes": report.saved(report.bytes),
            "measured": len(report.seconds),
        },
        "branches": [
            {
                "parent": above if above >= 0 else None,
                "jobs": jobs[nodes[0]],
                "steps": [{"id": dag.ids[node], "op": dag[dag.ids[node]].op} for node in nodes],
            }
            for above, nodes in branches(parents, jobs)
        ],
        "near_misses": [
            {
                "ops": [dag[row[0]].op for row in miss.rows],
                "steps": [list(row) for row in miss.rows],
                "after": miss.after,
                "excess": miss.excess,
                "seconds": report.excess(miss),
                "differs": list(miss.differs),
                "movable": miss.movable,
                "apart": [
                    {"id": id, "op": None if id is None else dag[id].op, "places": places} for id, places in miss.apart
                ],
            }
            for miss in report.near_misses
        ],
        "reordering": None if best is None or best.orders is None else _reordering(report, best, best.orders),
    }


def _reordering(report: Report, best: Result, orders: Orders) -> dict[str, object]:
    dag = report.dag
    return {
        "strategy": best.name,
        "steps": report.stands.distinct - best.distinct,
        "seconds": report.saved_by(orders),
        "ops": list(report.sharing.jobs.names),
        "orders": [
            {"final": leaf, "jobs": list(dag.jobs(leaf)), "order": list(order)}
            for leaf, order in report.sharing.changed(orders)
        ],
    }


def as_text(report: Report) -> Iterator[str]:
    """Counts, the prefixes, the near-misses, the orders."""
    dag = report.dag
    steps = f"{counted(dag.total, 'step')}, {len(dag):,} distinct: {report.stands.ratio:.2f} ×"
    yield f"{counted(len(dag.plans), 'job')}, {steps}"
    saved = counted(dag.total - len(dag), "step")
    if report.seconds:
        room = f", {size(report.saved(report.bytes))}" if report.bytes else ""
        measured = f"by the {len(report.seconds):,} that were measured"
        saved += f", {span(report.saved(report.seconds))}{room} ({measured})"
    yield f"sharing saves {saved}"
    yield ""
    yield "Prefixes, with the number of jobs on each branch"
    yield from _drawn(dag.parents, dag.popularity, [step.op for step in dag])
    yield ""
    yield from _near_misses(report)
    yield ""
    yield "Orders, as if ops could change places: whether they can is yours to know"
    yield from table(report.results)
    yield f"no order needs fewer than {report.bound:,}"
    best = report.best
    if best is None or best.orders is None:
        yield "none that was found needs fewer than the jobs as they stand"
        return
    spared = report.stands.distinct - best.distinct
    took = f", {span(report.saved_by(best.orders))}" if report.seconds else ""
    yield f"{best.name} saves {counted(spared, 'step')}{took}, by this order:"
    found, names = trie(best.orders), report.sharing.jobs.names
    for line in draw(found.parents, found.jobs, LINES, trunks=False):
        first = line.nodes[0]
        text = f"… {counted(len(line.nodes), 'step')}" if line.cut else brief(names[found.items[first]])
        yield f"{'' if line.cut else f'×{found.jobs[first]:,}':7} {line.guides}{text}"


def _drawn(parents: Sequence[int], jobs: Sequence[int], ops: Sequence[str]) -> Iterator[str]:
    """A line for each branch: how many jobs, the first op, how many more."""
    found = branches(parents, jobs)
    counts = [jobs[nodes[0]] for _, nodes in found]
    for line in draw([above for above, _ in found], counts, LINES, trunks=False):
        first = line.nodes[0]
        if line.cut:
            steps = sum(len(found[branch][1]) for branch in line.nodes)
            yield f"{'':7} {line.guides}… {counted(line.branches, 'more branch')}, {counted(steps, 'step')}"
            continue
        nodes = found[first][1]
        more = f"  … {counted(len(nodes) - 1, 'more step')}" if len(nodes) > 1 else ""
        yield f"{f'×{counts[first]:,}':7} {line.guides}{brief(ops[nodes[0]])}{more}"


def _near_misses(report: Report) -> Iterator[str]:
    misses = report.near_misses
    if not misses:
        yield "No near-misses: no op stands in two places"
        return
    excess = sum(miss.excess for miss in misses)
    yield f"Near-misses: {counted(excess, 'step')} whose op another has, after another beginning"
    for miss in misses[:MISSES]:
        took = f", {span(report.excess(miss))}" if report.seconds else ""
        length = f", and the {len(miss.rows) - 1} after it" if len(miss.rows) > 1 else ""
        id, places = miss.rows[0][0], counted(len(miss.rows[0]), "place")
        yield f"  {counted(miss.excess, 'step')}{took}: {id[:SHORT]} {brief(report.dag[id].op)}{length}"
        differs = f", in another {' and '.join(miss.differs)}" if miss.differs else ""
        yield f"    in {places}{differs}, which part after {counted(miss.after, 'step')}"
        if all(apart is None for apart, _ in miss.apart):
            continue
        for apart, count in miss.apart[:PLACES]:
            told = "itself" if apart is None else f"{apart[:SHORT]} {brief(report.dag[apart].op)}"
            yield f"    ×{count:<5,} {told}"
        if len(miss.apart) > PLACES:
            yield f"    … {len(miss.apart) - PLACES:,} more"
    if len(misses) > MISSES:
        yield f"  … {len(misses) - MISSES:,} more"
