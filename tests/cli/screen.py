"""A terminal that a command runs on: what a person sees there at any moment, of any size, resized as they like."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator

import pyte

from tests.cli.desk import Desk


class Screen:
    """A pseudo-terminal and what pyte makes of all that is written there."""

    def __init__(self, engine: subprocess.Popen[bytes], ours: int, columns: int, rows: int) -> None:
        self.engine, self._ours = engine, ours
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without the empty lines below."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip("\n").split("\n")

    @property
    def cells(self) -> list[list[pyte.screens.Char]]:
        """The same with its colours."""
        rows = range(len(self.lines))
        return [[self._screen.buffer[row][column] for column in range(self._screen.columns)] for row in rows]

    @property
    def all(self) -> list[str]:
        """And above it what has been scrolled away."""
        above = ["".join(line[x].data for x in range(max(line, default=-1) + 1)) for line in self._screen.history.top]
        return [*(line.rstrip() for line in above), *self.lines]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def has_cursor(self) -> bool:
        return not self._screen.cursor.hidden

    def resize(self, columns: int, rows: int) -> None:
        termios.tcsetwinsize(self._ours, (rows, columns))
        self._screen.resize(rows, columns)

    def until(self, what: Callable[[], object], seconds: float = 20) -> None:
        """Watch until something is to be seen."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"it never came:\n{self.text}"
            assert self._read(0.1), f"it ended before:\n{self.text}"

    def end(self) -> int:
        """Watch until the command is over; its exit code."""
        while self._read(60):
            pass
        return self.engine.wait(30)

    def _read(self, seconds: float) -> bool:
        """Whether more may come."""
        ready, _, _ = select.select([self._ours], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False  # how a terminal says that its last writer is gone
        self.written += data
        self._stream.feed(data)
        return bool(data)

    def hang_up(self) -> None:
        os.close(self._ours)
        self._ours = -1

    def close(self) -> None:
        if self._ours >= 0:
            os.close(self._ours)


@contextlib.contextmanager
def screen(
    desk: Desk, *arguments: str, columns: int = 80, rows: int = 24, output: int | None = None, **more: str
) -> Iterator[Screen]:
    """A command under way on a terminal of that size; `output` takes its standard output elsewhere."""
    with desk.terminal(*arguments, columns=columns, rows=rows, output=output, **more) as (engine, ours):
        watched = Screen(engine, ours, columns, rows)
        try:
            yield watched
        finally:
            watched.close()
            if engine.poll() is None:
                engine.send_signal(signal.SIGKILL)
