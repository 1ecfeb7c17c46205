"""A plan as text, JSON, dot or mermaid: what would run, what is there already, what it would cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json import dumps

from engine.dag import Dag
from engine.forest import LINES, draw
from engine.prospect import Forecast, Prospect, State
from engine.scheduler import DEFAULT_SECONDS
from engine.step import SHORT, Base, Run, Step, StepId
from engine.words import brief, counted, printable, span

NAMES = 3
"""Jobs that are named where several end with one step."""
Fit = Callable[[str, bool], str]
LABEL = 60
"""Characters of an op in a node of a graph."""

_TOLD: Mapping[State, str] = {"cached": "cached", "run": "to run", "failed": "known to fail", "blocked": "blocked"}
_DOT: Mapping[State, str] = {
    "cached": 'color="gray" fontcolor="gray"',
    "run": 'color="black"',
    "failed": 'color="red" fontcolor="red"',
    "blocked": 'color="orange" style="dashed"',
}
_MERMAID: Mapping[State, str] = {
    "cached": "color:#888,stroke:#bbb",
    "run": "stroke:#333",
    "failed": "color:#b00,stroke:#b00",
    "blocked": "stroke:#c80,stroke-dasharray:4",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What all forms show."""

    prospect: Prospect
    states: Mapping[StepId, State]
    forecast: Forecast | None

    @property
    def dag(self) -> Dag:
        return self.prospect.dag

    def to_run(self) -> Iterator[Step]:
        return (step for step in self.dag if self.states[step.id] == "run")

    def fetched(self) -> list[tuple[StepId, Base]]:
        """The bases that are not there yet."""
        return [(step.id, step.action) for step in self.to_run() if isinstance(step.action, Base)]

    def with_network(self) -> int:
        """How many of the steps to run may fetch what they like."""
        return sum(isinstance(step.action, Run) and "host" in step.action.network for step in self.to_run())


def as_json(plan: Plan) -> Iterator[str]:
    """The lines of the document that docs/reference/cli.md describes: a job a line, and a step a line. Of many jobs
    nearly all of it is lists of ids, which are joined: no character of theirs has to be looked at."""
    dag, states = plan.dag, plan.states
    yield '{"version": 1, "jobs": ['
    yield from _separated(
        f'{{"name": {dumps(job.name)}, "final": "{job.final}", "steps": {_ids(job.steps)}}}' for job in dag.plans
    )
    yield '], "steps": ['
    yield from _separated(
        f'{{"id": "{step.id}", "kind": "{step.kind}", "inputs": {_ids(step.inputs)}, "op": {dumps(step.op)}, '
        f'"jobs": {len(dag.jobs(step.id))}, "cached": {"true" if states[step.id] == "cached" else "false"}, '
        f'"state": "{states[step.id]}", "seconds": {"null" if took is None else dumps(took)}}}'
        for step, took in ((step, plan.prospect.seconds(step.id)) for step in dag)
    )
    yield f"], {dumps(as_totals(plan)).removeprefix('{')}"


def _ids(ids: Sequence[StepId]) -> str:
    return '["' + '", "'.join(ids) + '"]' if ids else "[]"


def _separated(rows: Iterable[str]) -> Iterator[str]:
    """With a comma behind each but the last."""
    before: str | None = None
    for row in rows:
        if before is not None:
            yield f"{before},"
        before = row
    if before is not None:
        yield before


def as_totals(plan: Plan) -> dict[str, object]:
    """Of that document what is said of all steps together."""
    dag, forecast = plan.dag, plan.forecast
    todo = Counter(plan.states.values())["run"]
    known = (forecast.work, forecast.path_seconds) if forecast is not None and not forecast.unknown else (None, None)
    work, critical = known if todo else (0.0, 0.0)
    return {
        "totals": {
            "jobs": len(dag.plans),
            "steps": dag.total,
            "distinct": len(dag),
            "cached": len(plan.prospect.cached),
            "to_run": todo,
            "seconds": work,
            "critical_path": critical,
        },
        "fetch": {
            "bases": [{"id": id, "base": base.reference, "source": base.source} for id, base in plan.fetched()],
            "network": plan.with_network(),
        },
        "prediction": None if forecast is None else _prediction(forecast),
    }


def _prediction(forecast: Forecast) -> dict[str, object]:
    return {
        "work": forecast.work,
        "unknown": forecast.unknown,
        "path": list(forecast.path),
        "path_seconds": forecast.path_seconds,
        "makespans": [
            {"workers": workers, "p50": made.p50, "p90": made.p90} for workers, made in forecast.makespans.items()
        ],
    }


def as_text(plan: Plan, limit: int | None = LINES, fit: Fit = lambda text, _: text) -> Iterator[str]:
    """The steps as trees, each after the one whose root it starts from, so that what jobs share is there once; where
    there are many, a part of them as `engine.forest.draw` has it.

    What `fit` makes of a line is shown; it is told whether the line is of a step that is there already.
    """
    dag, states = plan.dag, plan.states
    ends: dict[StepId, list[str]] = {}
    for end in dag.plans:
        ends.setdefault(end.final, []).append(end.name)
    popularity = dag.popularity
    for line in draw(dag.parents, popularity, limit):
        ids = [dag.ids[node] for node in line.nodes]
        if line.cut:
            branches = f"{counted(line.branches, 'more branch')}, " if line.branches else "more: "
            yield f"{'':7} {line.guides}… {branches}{counted(len(ids), 'step')} ({_told(plan, ids)})"
            continue
        (id,) = ids
        jobs = popularity[line.nodes[0]]
        share = f"  ×{jobs:,}" if jobs > 1 else ""
        took = plan.prospect.seconds(id)
        time = "" if took is None else f"  {span(took)}"
        job = f"  → {_some(ends[id])}" if id in ends else ""
        state = states[id]
        text = f"{state:7} {line.guides}{id[:SHORT]} {brief(dag[id].op)}{share}{time}{job}"
        yield fit(text, state == "cached")
    yield from _summary(plan)


def _told(plan: Plan, ids: Iterable[StepId]) -> str:
    """How many steps are in which state."""
    count = Counter(plan.states[id] for id in ids)
    return ", ".join(f"{count[state]:,} {word}" for state, word in _TOLD.items() if count[state])


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES
    return printable(", ".join(names[:NAMES])) + (f" and {more:,} more" if more > 0 else "")


def _summary(plan: Plan) -> Iterator[str]:
    dag = plan.dag
    sums = f"{counted(len(dag.plans), 'job')}, {counted(dag.total, 'step')}, {len(dag):,} distinct"
    told = _told(plan, dag.ids)
    yield f"{sums}: {told}" if told else sums
    for _, base in plan.fetched():
        yield printable(f"fetch: {base.reference} from {base.source}")
    if network := plan.with_network():
        yield f"network: {counted(network, 'step')} to run {'has' if network == 1 else 'have'} it"
    forecast = plan.forecast
    if forecast is None:
        return
    for workers, made in forecast.makespans.items():
        yield f"predicted at -j {workers}: {span(made.p50)}, 9 of 10 runs within {span(made.p90)}"
    unknown = ""
    if forecast.unknown:
        unknown = f"; {counted(forecast.unknown, 'step')} without history, taken as {span(DEFAULT_SECONDS)} each"
    yield f"work: {span(forecast.work)} in all{unknown}"
    last = forecast.path[-1]
    job = next((job.name for job in dag.plans if job.final == last), None)
    end = f", to {printable(job)}" if job else ""
    yield f"critical path: {span(forecast.path_seconds)}, {counted(len(forecast.path), 'step')}{end}"


def as_dot(plan: Plan) -> Iterator[str]:
    """A graph for Graphviz (its language: graphviz.org/doc/info/lang.html), a node a step."""
    yield "digraph plan {"
    yield '  node [shape="box" fontname="monospace"]'
    for step in plan.dag:
        label = _label(step).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
        yield f'  "{step.id}" [label="{step.id[:SHORT]}\\n{label}" {_DOT[plan.states[step.id]]}]'
    for step in plan.dag:
        for input in step.inputs:
            yield f'  "{input}" -> "{step.id}"'
    yield "}"


def as_mermaid(plan: Plan) -> Iterator[str]:
    """A flowchart for Mermaid (mermaid.js.org/syntax/flowchart.html), a node a step."""
    yield "flowchart TD"
    for state, style in _MERMAID.items():
        yield f"  classDef {state} {style}"
    for number, step in enumerate(plan.dag):
        # An entity, `#` and a number: it stands for any character that the syntax or HTML would take for its own.
        label = "".join(c if c.isalnum() or c in " ./-_(),=+" else f"#{ord(c)};" for c in _label(step))
        yield f'  s{number}["{step.id[:SHORT]}<br>{label}"]:::{plan.states[step.id]}'
    for number, users in enumerate(plan.dag.users):
        for user in users:
            yield f"  s{number} --> s{user}"


def _label(step: Step) -> str:
    return brief(step.op, LABEL)
