"""DAGs of texts of specs, planned in a world that has whatever is asked for, their steps by readable names; and
random ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_lowercase

from hypothesis import strategies as st

from engine.dag import Dag
from engine.plan import Job, Planner
from engine.step import Base, Config, Manifest, StepId
from grammar.ast import Spec
from grammar.expand import expand
from grammar.parser import parse_any
from grammar.source import Body, Source


@dataclass(frozen=True)
class World:
    """Has every base and every file; `digests` are those of bases that are not as they always were."""

    digests: Mapping[str, str] = field(default_factory=dict)

    def pin(self, base: str) -> Base:
        return Base(base, self.digests.get(base, f"digest of {base}"), Config(), f"dir:{base}")

    def manifest(self, folder: str, sources: tuple[str, ...], exclude: tuple[str, ...]) -> Manifest:
        return Manifest(folder, hashlib.sha256(repr((sources, exclude)).encode()).hexdigest(), (), ())


def spec(text: str) -> str:
    """`base a b` is a spec: the commands a and b on a base. A text in parentheses is one already."""
    if text.startswith("("):
        return text
    base, *commands = text.split()
    return f"((from {base}){''.join(f' (run (shell {command}))' for command in commands)})"


def workflow(*specs: str) -> str:
    """A workflow whose jobs, 0 and so on, are these specs: some ops stand nowhere else."""
    return f"(workflow{''.join(f' (job {number} {text})' for number, text in enumerate(specs))})"


def jobs(*texts: str, folder: str = "/context") -> list[Job]:
    """A job for each text, called a, b and so on; a workflow's have their own names."""
    found = []
    for number, text in enumerate(texts):
        name = ascii_lowercase[number]
        source = Source(f"{name}.spec", spec(text), folder)
        parsed = parse_any(source)
        if isinstance(parsed, Spec):
            found.append(Job(name, Body(parsed, source)))
            continue
        of = expand(source, parsed, parse_any, lambda source, path: source, {})
        found += [Job(job.name, job.body, of.builds) for job in of.jobs]
    return found


def dag(*texts: str | Job, world: World | None = None) -> Dag:
    """The DAG of jobs that are made of texts, or made already."""
    given = [job for job in texts if isinstance(job, Job)]
    planner = Planner(world or World())
    plans = [planner.plan(job) for job in given + jobs(*[text for text in texts if isinstance(text, str)])]
    return Dag.of(plans, planner.steps)


def path(dag: Dag, id: StepId) -> str:
    """A step with all that it starts from, as `spec` has it: `base a b`. Of other ops than commands, the first word."""
    words = []
    step = dag[id]
    while True:
        command = re.fullmatch(r'\((?:from|run .*?\(shell) "?(.*?)"?\)+', step.op)
        words.append(command[1] if command else step.op.strip("(").split()[0])
        if not step.inputs:
            return " ".join(reversed(words))
        step = dag[step.inputs[0]]


def step(dag: Dag, wanted: str) -> StepId:
    """The one step of that path."""
    (found,) = [id for id in dag.ids if path(dag, id) == wanted]
    return found


OPS = ["(run (shell a))", "(run (shell b))", "(run (shell c))", "(env K v)", "(workdir w)", "(copy (src f) (dst d))"]


@st.composite
def specs(draw: st.DrawFn, *, copies: bool, depth: int = 2, scope: tuple[str, ...] = ()) -> str:
    """A spec of few ops, so that the same come together often, with builds in it, unions of them and, if wanted, copies
    from them."""
    builds = ""
    for name in "xy"[: draw(st.integers(0, 2)) if depth else 0]:
        builds += f"(build {name} {draw(specs(copies=copies, depth=depth - 1, scope=scope))}) "
        scope = (*scope, name)
    merges = [f"(merge {one} {other})" for one in scope for other in scope if one != other]
    base = draw(st.sampled_from(["one", "two", *[f"(build {name})" for name in scope], *merges]))
    ops = [*OPS, *[f"(copy (from (build {name})) (src f) (dst d))" for name in scope if copies]]
    return f"({builds}(from {base}) {' '.join(draw(st.lists(st.sampled_from(ops), max_size=5)))})"


PLAIN = st.lists(specs(copies=False), max_size=5).map(lambda texts: dag(workflow(*texts)))
DAGS = st.lists(specs(copies=True), max_size=5).map(lambda texts: dag(workflow(*texts)))
