"""What the live view costs beside a run: seconds of processor time for each second that it is drawn.

    python bench/live.py

The made batch of `bench/made.py` (5,000 jobs, 50,000 distinct steps) in the middle: its trunks are built, `-j` steps
run and write, and 200 end and start each second. The view draws ten times a second on a pseudo-terminal whose other
end is read. Each row is a size; the last column leaves out what the events themselves cost, which is what a view that
never draws does with them.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import made
from engine.dag import Dag
from engine.events import BatchStarted, Ended, Event, Output, Started
from engine.outcome import Built
from engine.records import Prediction
from stepwood.live.view import View

SECONDS = 10.0
RATE = 200
"""Steps that end each second."""
SIZES = ((40, 12), (80, 24), (200, 50))
WORKERS = (2, 64)


def events(dag: Dag, workers: int) -> Iterator[Event]:
    """A run without an end to it, as far as it goes: a step ends, the next starts and writes two lines."""
    running: list[str] = []
    for id in dag.ids:
        if len(running) == workers:
            yield Ended(running.pop(0), Built(1.0, 0, None), 1.0, 1, None)
        running.append(id)
        yield Started(id)
        yield Output(id, b"checking for a thing... yes\ncc -O2 -g -c part.c -o part.o\n")


def cost(dag: Dag, size: tuple[int, int], workers: int) -> tuple[float, float]:
    """Of one core: all of it, and what the events cost without a view that draws."""
    told = events(dag, workers)
    start = [BatchStarted(dict.fromkeys(dag.ids, 1.0), Prediction(600.0, 900.0)), *islice(told, 30_000)]
    steady = list(islice(told, int(3 * RATE * SECONDS)))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (size[1], size[0]))
    # Another process, whose time is its own.
    reader = subprocess.Popen(["cat"], stdin=ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    streams = [os.dup(stream) for stream in (1, 2)]
    for stream in (1, 2):
        os.dup2(theirs, stream)
    with tempfile.TemporaryDirectory() as store:
        view = View(dag, Path(store), quiet=False)
        for event in start:
            view(event)
        time.sleep(0.3)
        used, began = time.process_time(), time.monotonic()
        spent = 0.0
        for number, event in enumerate(steady):
            if (ahead := began + number / (3 * RATE) - time.monotonic()) > 0.01:
                time.sleep(ahead)
            at = time.thread_time()
            view(event)
            spent += time.thread_time() - at
        took, used = time.monotonic() - began, time.process_time() - used
        view.close()
    for stream, before in zip((1, 2), streams, strict=True):
        os.dup2(before, stream)
        os.close(before)
    os.close(theirs)
    os.close(ours)
    reader.wait()
    return used / took, spent / took


def main() -> None:
    dag = made.dag()
    print(f"{len(dag.plans):,} jobs, {len(dag):,} distinct steps; {RATE} steps end a second; goal: 5 % of a core\n")
    print("| terminal | steps at once | of a core, % | events alone, % |")
    print("| --- | --- | --- | --- |")
    for columns, rows in SIZES:
        for workers in WORKERS:
            used, spent = cost(dag, (columns, rows), workers)
            print(f"| {columns} × {rows} | {workers} | {100 * used:.1f} | {100 * spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()
