"""The live view: what `Plain` says, or only what went wrong, above a block that shows how the run goes.

Events come in the loop's thread and only change what is known; a thread of its own draws, at most ten times a second,
so that a run of many quick steps does not wait for its terminal.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from engine.dag import Dag
from engine.events import Attached, Ended, Event, JobEnded, Output, Started
from engine.logtext import open_log, searched, size
from engine.outcome import Failed
from engine.telling import telling
from engine.words import counted, printable
from stepwood.console import Plain, screen
from stepwood.live.panel import panel
from stepwood.live.progress import Progress

DRAWS = 10
"""Times a second that the block is drawn at most."""
IDLE = 0.5
"""Seconds after which it is drawn though nothing has happened: times go on."""
HELD = 1 << 16
"""Characters that wait to be written; when there are more, the run waits for its terminal."""
LONG = 500
"""Characters of a line that tells why a step failed."""
_CONTROL = re.compile(r"\x1b\[[0-9;:]*m|(\x1b\[[0-?]*[ -/]*[@-~]|\x1b[^\[]|[\x00-\x08\x0b-\x1f\x7f-\x9f])")
"""A change of colour, which may pass; or, as a group, what would move the cursor."""


class View(Plain):
    """Of one job each step and what it writes pass by as in `Plain`; of several only failures do, with the lines of
    their logs that tell. The block goes when the run ends, and what stays is text that can be copied."""

    def __init__(self, dag: Dag, store: Path, *, quiet: bool) -> None:
        """`store` is the store's folder, where the logs of failed steps are read."""
        super().__init__(dag, quiet=quiet)
        self._store = store
        self._own_output = not sys.stdout.isatty()
        """Whether the output of steps goes elsewhere than what is shown here."""
        self.replays = self.replays and (self._own_output or not self._several)
        self._progress = Progress(dag)
        self._console = Console(file=sys.stderr, force_terminal=True, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=True
        )
        self._lock = threading.Lock()
        """For all that events change."""
        self._drawing = threading.Lock()
        self._waiting: list[str | Ended] = []
        """What is to be written above the block: text, or a failed step, of which the log tells."""
        self._held = 0
        self._changed = False
        self._gone = False
        """Whether the terminal is."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="view", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._progress.see(event, time.monotonic())
            self._changed = True
            if not self._several or self._is_told(event):
                super().__call__(event)
            if isinstance(event, Ended) and isinstance(event.outcome, Failed):
                self._waiting.append(event)
            much = self._held > HELD
        if much:
            self._draw()

    def _is_told(self, event: Event) -> bool:
        """Whether an event of a run of several jobs is worth a line that stays."""
        match event:
            case Ended(outcome=outcome):
                return isinstance(outcome, Failed)
            case Output():
                return self._own_output
            case Started() | Attached() | JobEnded():
                return False
        return True

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._draw(last=True)

    # --- what Plain has to say

    def _line(self, text: str) -> None:
        self._hold(f"{text}\n")

    def _write(self, data: bytes) -> None:
        if self._own_output:
            super()._write(data)
        else:
            self._hold(shown(data.decode(errors="replace")))

    def _output(self, id: str, data: bytes) -> None:
        if self._own_output or self._several:
            super()._output(id, data)
            return
        # A line that has no end yet is in the block; one that never has is broken.
        whole, newline, rest = (self._partial.pop(id, b"") + data).rpartition(b"\n")
        if newline:
            self._write(whole + newline)
        if len(rest) > HELD:
            self._write(rest + b"\n")
        elif rest:
            self._partial[id] = rest

    def _hold(self, text: str) -> None:
        self._waiting.append(text)
        self._held += len(text)

    # --- drawing

    def _tick(self) -> None:
        drawn = time.monotonic()
        while not self._stop.wait(1 / DRAWS):
            now = time.monotonic()
            if self._changed or now - drawn >= IDLE:
                self._draw()
                drawn = now

    def _draw(self, *, last: bool = False) -> None:
        """Write what waits, and the block anew below it; at the `last` time without."""
        with self._drawing:
            width, height = screen()
            with self._lock:
                waiting, self._waiting, self._held, self._changed = self._waiting, [], 0, False
                now = time.monotonic()
                block = [] if last else panel(self._dag, self._progress, width, height, now)
            above = "".join(text for item in waiting for text in self._told(item))
            if self._gone:
                return
            try:
                self._show(above, block, (width, height), last=last)
            except OSError:
                self._gone = True  # whoever watched has hung up: the run goes on

    def _show(self, above: str, block: Sequence[Text], size: tuple[int, int], *, last: bool) -> None:
        self._console.size = size
        if not last and not self._live.is_started:
            self._live.start()
            self._console.show_cursor(True)  # a build that is killed must not leave a terminal without one
        self._live.update(_Block(block))
        if above:
            self._console.print(_AsIs(above), soft_wrap=True)
        elif not last:
            self._live.refresh()
        if last and self._live.is_started:
            self._live.stop()

    def _told(self, item: str | Ended) -> Iterator[str]:
        if isinstance(item, str):
            yield item
            return
        if self._several or self._own_output:
            yield from (f"        | {line}\n" for line in self._why(item.log))
        if self._several:
            first, *others = self._dag.jobs(item.id)
            more = f" and {counted(len(others), 'more job')}" if others else ""
            yield f"        fails {printable(first)}{more}\n"

    def _why(self, path: str | None) -> list[str]:
        """The lines of a log that tell why its step failed."""
        if path is None:
            return []
        try:
            with open_log(self._store, path) as log:
                text = searched(log, size(self._store, path))
        except OSError:
            return []
        return [printable(line[:LONG].expandtabs().rstrip()) for line in telling(text.splitlines())]


class _Block:
    """Lines that fit already."""

    def __init__(self, lines: Sequence[Text]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line.render(console, end="\n")


class _AsIs:
    """Text that goes to the terminal as it is: no markup is looked for, and no line cut."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment(self._text)


def shown(output: str) -> str:
    """Whole lines of a step's output as they can stand above the block: colours pass, a line written over again by
    `\\r` is as it was last, and nothing moves the cursor."""
    lines = []
    for line in output.split("\n"):
        last = line.rstrip("\r").rpartition("\r")[2]
        plain = _CONTROL.sub(lambda found: "" if found[1] else found[0], last)
        lines.append(f"{plain}\x1b[0m" if "\x1b" in plain else plain)
    return "\n".join(lines)
