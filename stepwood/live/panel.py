"""The block at the bottom of a terminal: a run's progress as lines that fit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from engine.dag import Dag
from engine.outcome import Name
from engine.step import Run, Step
from engine.words import WIDTH, brief, counted, span
from stepwood.live.progress import JobState, Progress, Running, clean

WIDE = 100
"""Columns from which on a step and its last line stand side by side."""
FEW = 10
"""Jobs that are told of one by one, where there is room."""
STYLES = {"failed": "red", "built": "green", "cancelled": "yellow"}
INDENT = 8
"""Columns before what is told of a step: how long it has run."""


def panel(dag: Dag, progress: Progress, columns: int, rows: int, now: float) -> list[Text]:
    """At most as many lines as leave a third of the screen, each one column less than it is wide."""
    width = max(10, columns - 1)
    room = max(2, rows * 2 // 3)
    head = [_bar(progress, width), *_packed(_facts(progress, now), width)[: max(1, room // 4)]]
    if len(progress.jobs) > 1:
        head += _packed(_jobs(progress), width)[: max(1, room // 8)]
    body = list(_running(dag, progress, width, room - len(head), now))
    spare = room - len(head) - len(body)
    if 1 < len(progress.jobs) <= min(FEW, spare):
        head += [_job(name, job, width) for name, job in progress.jobs.items()]
    lines = [*head, *body][:room]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _bar(progress: Progress, width: int) -> Text:
    part = progress.done / progress.steps if progress.steps else 1.0
    length = min(30, width // 4)
    full = int(length * part)
    told = f" {int(100 * part):3} %  {progress.done:,} of {counted(progress.steps, 'step')}"
    return Text.assemble(("█" * full, "green"), ("░" * (length - full), "dim"), (told, "bold"))


def _facts(progress: Progress, now: float) -> Iterator[Text]:
    """The most important first: on a small terminal the last ones are left out."""
    if left := progress.left(now):
        p50, p90 = left
        likely = f" (9 of 10: {span(p90)})" if p90 is not None and p50 >= 1 else ""
        yield Text(f"{span(p50)} left{likely}" if p50 >= 1 else "about to end", "bold")
    yield from _counted(progress.ended, ("failed", "skipped", "cancelled"))
    yield Text(f"{len(progress.running):,} running")
    yield Text(f"{progress.ready:,} queued")
    waiting = progress.steps - progress.done - len(progress.running) - progress.ready
    if waiting:
        yield Text(f"{waiting:,} waiting")
    yield from _counted(progress.ended, ("built", "cached"))
    if rate := progress.rate(now):
        yield Text(f"{rate:.1f} steps/s" if rate >= 1 else f"{60 * rate:.1f} steps/min")
    yield Text(f"{span(progress.elapsed(now))} so far", "dim")


def _jobs(progress: Progress) -> Iterator[Text]:
    ended = progress.job_outcomes
    yield Text(f"{ended.total():,} of {counted(len(progress.jobs), 'job')} ended", "bold")
    yield from _counted(ended, ("failed", "cancelled", "built", "cached"))
    yield Text(f"{progress.jobs_running:,} running")


def _counted(counts: dict[Name, int], names: Sequence[Name]) -> Iterator[Text]:
    return (Text(f"{counts[name]:,} {name}", STYLES.get(name, "")) for name in names if counts[name])


def _packed(facts: Iterable[Text], width: int) -> list[Text]:
    """Facts with dots between them, as many in a line as fit."""
    lines: list[Text] = []
    for fact in facts:
        if lines and lines[-1].cell_len + 3 + fact.cell_len <= width:
            lines[-1].append(" · ", "dim").append_text(fact)
        else:
            lines.append(fact.copy())
    return lines


def _running(dag: Dag, progress: Progress, width: int, room: int, now: float) -> Iterator[Text]:
    """The steps that run, those that have run longest first; what they last said where there is room for it."""
    steps = list(progress.running.values())
    if len(steps) > room:
        steps = steps[: max(0, room - 1)]
    beside = width >= WIDE
    below = not beside and 2 * len(progress.running) <= room
    for step in steps:
        told = _step(dag, step)
        line = Text.assemble((f"{span(now - step.since):>{INDENT - 2}}  ", "cyan"))
        if beside:
            column = (width - INDENT) // 2
            yield line.append(set_cell_size(_cut(told, column), column + 2)).append(step.last, "dim")
        else:
            yield line.append(told)
        if below:
            yield Text(" " * INDENT + step.last, "dim")
    if room > 0 and len(progress.running) > len(steps):
        yield Text(f"{'':{INDENT}}… and {len(progress.running) - len(steps):,} more", "dim")


def _step(dag: Dag, step: Running) -> str:
    """What runs, and for whom where there are several jobs."""
    jobs = dag.jobs(step.id)
    others = f" +{len(jobs) - 1:,}" if len(jobs) > 1 else ""
    who = f"{clean(_cut(jobs[0], 24))}{others}: " if len(dag.plans) > 1 else ""
    how = "elsewhere " if step.elsewhere else f"try {step.attempt} " if step.attempt > 1 else ""
    return f"{who}{how}{clean(_op(dag[step.id]))}"


def _op(step: Step) -> str:
    """A run's command, by which it is known; one that begins with a comment is called by that."""
    match step.action:
        case Run(command=command):
            return command.partition("\n")[0] if command.startswith("#") else " ".join(command[:WIDTH].split())
    return brief(step.op)


def _job(name: str, job: JobState, width: int) -> Text:
    state: str = job.outcome or ("running" if job.running else "waiting")
    numbers = f"{job.ended}/{job.steps}"
    column = max(8, min(32, width - 20))
    text = Text(set_cell_size(_cut(clean(name), column), column + 1))
    return text.append(f"{numbers:>7} ", "dim").append(state, STYLES.get(state, ""))


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"
