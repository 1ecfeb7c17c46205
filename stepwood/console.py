"""What a run shows in a pipe: plain lines, or JSON events; and what commands say beside their results.

The output of steps goes to standard output, what Stepwood itself says to standard error.
"""

from __future__ import annotations

import codecs
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from engine.events import Attached, BatchEnded, Ended, Event, JobEnded, Output, Retried, Started
from engine.outcome import Cancelled, Failed, Skipped
from engine.step import SHORT
from engine.words import brief, counted, span
from system.errors import InputError

if TYPE_CHECKING:
    from engine.dag import Dag


ERASE = "\r\x1b[2K"
"""Back to the beginning of the line, and nothing on it."""
SHOWN = 20
"""How many causes or flaky steps the end of a run lists."""


def say(text: str) -> None:
    """One line of Stepwood's own, to standard error."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201
    except BrokenPipeError:
        _mute(sys.stderr)


def when(seconds: float) -> str:
    """A time, in seconds since the epoch, as people here read it."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def put(lines: Iterable[str], output: Path | None) -> None:
    """A document, to a file or to standard output."""
    if output is not None:
        try:
            with output.open("w", errors="surrogateescape") as file:
                file.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            raise InputError(f"cannot write {output}: {error.strerror}") from error
        return
    for line in lines:
        sys.stdout.write(f"{line}\n")


def fitting(output: Path | None) -> Callable[[str, bool], str]:
    """What makes a line one for `put`: on a terminal cut to its width and, where the line is to be faint, so."""
    if output is not None or not sys.stdout.isatty():
        return lambda text, faint: text
    width, colours = shutil.get_terminal_size().columns, _capable(sys.stdout)
    return lambda text, faint: f"\x1b[2m{text[:width]}\x1b[0m" if faint and colours else text[:width]


def _mute(stream: TextIO) -> None:
    """Whoever read it has gone (`| head`): a build goes on without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def on_terminal() -> bool:
    """Whether a person watches: standard error is a terminal that can move its cursor."""
    return _capable(sys.stderr)


def piped() -> bool:
    """Whether another program reads standard output, which may write to the terminal whatever it likes."""
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def screen() -> tuple[int, int]:
    """Columns and rows of the terminal that standard error goes to; standard output may go elsewhere."""
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        size = os.terminal_size((0, 0))
    said = os.environ.get("COLUMNS", "")
    return (int(said) if said.isdecimal() else 0) or size.columns or 80, size.lines or 24


def _capable(stream: TextIO) -> bool:
    """Whether a stream is a terminal that takes escape codes, and may be sent them."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """For a person who watches, a line that says what is being done and goes again; for others nothing."""
    if not on_terminal():
        yield lambda text: None
        return

    def show(text: str) -> None:
        sys.stderr.write(ERASE + f"{text} …"[: screen()[0] - 1])
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write(ERASE)
        sys.stderr.flush()


class Plain:
    """A line for each thing that happens; step output as it is, behind `NAME | ` where there are several jobs."""

    def __init__(self, dag: Dag, *, quiet: bool) -> None:
        self._dag, self._quiet = dag, quiet
        self._several = len(dag.plans) > 1
        self.replays = not quiet
        """Whether the logs of cached steps are to be given out too."""
        self._partial: dict[str, bytes] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case Started(id=id):
                self._line(f"run     {self._step(id)}")
            case Output(id=id, data=data):
                self._output(id, data)
            case Attached(id=id):
                self._line(f"attach  {self._step(id)}: another process makes it")
            case Retried(id=id, attempt=attempt, failed=failed):
                self._line(f"retry   {id[:SHORT]} try {attempt} failed: {told(failed)}")
            case Ended():
                self._flush(event.id)
                self._end(event)
            case JobEnded(name=name, outcome=outcome, final=final):
                self._line(f"job     {name}: {outcome} {final[:SHORT]}")
            case BatchEnded():
                self._causes(event)
                self._line(summary(event))

    def _step(self, id: str) -> str:
        return f"{id[:SHORT]} {brief(self._dag[id].op)}"

    def _end(self, event: Ended) -> None:
        step = self._step(event.id)
        match event.outcome:
            case Failed() as failed:
                log = f"; stepwood log {event.id[:SHORT]}" if event.log else ""
                took = f" ({event.seconds:.1f} s)" if event.attempts else ""
                self._line(f"failed  {step}: {told(failed)}{took}{log}")
            case Skipped(because=because):
                self._line(f"skipped {step}: {because[:SHORT]} failed")
            case outcome:
                took = f" ({event.seconds:.1f} s)" if event.attempts else ""
                if not (self._quiet and outcome.name == "cached"):
                    self._line(f"{outcome.name:7} {step}{took}")

    def _causes(self, event: BatchEnded) -> None:
        """Why jobs failed, by the steps that failed, where that says more than one line above; and what is flaky."""
        if len(self._dag.plans) > 1 and event.causes:
            jobs, causes = counted(event.failed_jobs, "job"), counted(len(event.causes), "cause")
            self._line(f"failed  {jobs}, {causes}:")
            width = len(str(event.causes[0].jobs))
            for cause in event.causes[:SHOWN]:
                self._line(f"  {cause.jobs:{width}} × {self._step(cause.id)}: {told(cause.failed)}")
            if len(event.causes) > SHOWN:
                self._line(f"  … and {len(event.causes) - SHOWN} more")
        for id in event.flaky[:SHOWN]:
            self._line(f"flaky   {self._step(id)}: it has failed before; stepwood ls --flaky")

    def _output(self, id: str, data: bytes) -> None:
        if not self._several:
            self._write(data)
            return
        *lines, rest = (self._partial.pop(id, b"") + data).split(b"\n")
        prefix = f"{self._dag.jobs(id)[0]} | ".encode(errors="surrogateescape")
        self._write(b"".join(prefix + line + b"\n" for line in lines))
        if rest:
            self._partial[id] = rest

    def _flush(self, id: str) -> None:
        if id in self._partial:
            self._output(id, b"\n")

    def _write(self, data: bytes) -> None:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            _mute(sys.stdout)

    def _line(self, text: str) -> None:
        say(text)

    def close(self) -> None:
        """Nothing to clean up."""


class Json:
    """One event a line on standard output, as docs/reference/cli.md has them."""

    def __init__(self, dag: Dag, *, quiet: bool) -> None:
        self._dag = dag
        self.replays = not quiet
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        """A piece of a log may end inside a character."""

    def __call__(self, event: Event) -> None:
        match event:
            case Started(id=id):
                self._emit("start", id=id, op=self._dag[id].op)
            case Output(id=id, data=data):
                if id not in self._decoders:
                    self._decoders[id] = codecs.getincrementaldecoder("utf-8")("replace")
                if text := self._decoders[id].decode(data):
                    self._emit("log", id=id, text=text)
            case Attached(id=id):
                self._emit("attach", id=id)
            case Retried(id=id, attempt=attempt, failed=failed, log=log):
                said = {"exit": failed.status, "message": failed.message, "log": log}
                self._emit("retry", id=id, attempt=attempt, cause=failed.cause, **said)
            case Ended(id=id, outcome=outcome, seconds=seconds, attempts=attempts, log=log):
                if id in self._decoders and (text := self._decoders.pop(id).decode(b"", True)):
                    self._emit("log", id=id, text=text)
                failure = outcome if isinstance(outcome, Failed) else None
                stopped = "cancelled" if isinstance(outcome, Cancelled) else None
                self._emit(
                    "finish",
                    id=id,
                    outcome=outcome.name,
                    seconds=seconds,
                    attempts=attempts,
                    exit=failure.status if failure else _exit(outcome.name),
                    cause=failure.cause if failure else stopped,
                    message=failure.message if failure else None,
                    because=outcome.because if isinstance(outcome, Skipped) else None,
                    log=log,
                )
            case JobEnded(name=name, outcome=outcome, final=final):
                self._emit("job", name=name, outcome=outcome, final=final)
            case BatchEnded(id=id, outcome=outcome, jobs=jobs, totals=totals, seconds=seconds):
                causes = [
                    {"id": cause.id, "cause": cause.failed.cause, "exit": cause.failed.status, "jobs": cause.jobs}
                    for cause in event.causes
                ]
                self._emit(
                    "batch",
                    id=id,
                    outcome=outcome,
                    jobs=jobs,
                    seconds=seconds,
                    totals=asdict(totals),
                    failed_jobs=event.failed_jobs,
                    causes=causes,
                    flaky=list(event.flaky),
                    predicted=event.predicted and asdict(event.predicted),
                )

    def _emit(self, event: str, **fields: object) -> None:
        shown: Mapping[str, object] = {"event": event, "time": time.time(), **fields}
        try:
            sys.stdout.write(json.dumps(shown) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            _mute(sys.stdout)

    def close(self) -> None:
        """Nothing to clean up."""


def _exit(outcome: str) -> int | None:
    return 0 if outcome == "built" else None


def told(failed: Failed) -> str:
    """A failure in a few words: `exit 2`, `network, exit 100`, or what ended the step."""
    if failed.status is None:
        return failed.message or failed.cause
    cause = [] if failed.cause == "exit" else [str(failed.cause)]
    message = [failed.message] if failed.message else []
    return ", ".join([*cause, f"exit {failed.status}", *message])


def summary(event: BatchEnded) -> str:
    """`batch ID: OUTCOME, 3 jobs: 4 built, … in 41 s (predicted: 39 s, 9 of 10 within 47 s)`."""
    counts = ", ".join(f"{count} {name}" for name, count in asdict(event.totals).items() if count) or "nothing to do"
    said = event.predicted
    foreseen = f" (predicted: {span(said.p50)}, 9 of 10 within {span(said.p90)})" if said else ""
    jobs = f"{event.outcome}, {counted(event.jobs, 'job')}"
    return f"batch   {event.id}: {jobs}: {counts} in {span(event.seconds)}{foreseen}"
