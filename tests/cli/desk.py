"""What the tests of the command line share: `stepwood …` as a user types it, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.bed import processes

REPOSITORY = Path(__file__).parents[2]
TEXTS = ("check", "fmt", "dockerfile")
Done = subprocess.CompletedProcess[str]


def sh(*scripts: str, head: str = "", ops: str = "") -> str:
    """A spec that runs shell scripts on busybox, each a step."""
    steps = "".join(f"\n (run {ops}(shell {json.dumps(script, ensure_ascii=False)}))" for script in scripts)
    return f"((from bb) (shell /bin/sh -c){head}{steps})\n"


def until(what: Callable[[], object], seconds: float = 15) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def events(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(done: Done, kind: str) -> list[dict[str, Any]]:
    return [event for event in events(done) if event["event"] == kind]


@dataclass(frozen=True)
class Desk:
    folder: Path
    store: str | None
    base: Path | None

    @property
    def place(self) -> Path:
        return Path(self.store.partition(":")[2]) if self.store else self.folder / "store"

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    def argv(self, *arguments: str) -> list[str]:
        argv = [sys.executable, "-m", "stepwood", *arguments]
        command = next((word for word in arguments if not word.startswith("-")), "")
        if self.store and command and command not in TEXTS and "--help" not in arguments:
            argv += ["--store", self.store]
            if command in ("plan", "build", "dedup", "why"):
                argv += ["--base", f"bb=dir:{self.base}"]
        return argv

    def settings(self, **more: str) -> dict[str, Any]:
        # Whoever runs the tests may have set NO_COLOR, as CI does: only a test's own counts.
        inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        own = {"PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(self.folder / ".cache")}
        return {"cwd": self.folder, "env": {**inherited, **own, **more}}

    def run(self, *arguments: str, input: str | None = None, debug: bool = False, **more: str) -> Done:
        done = subprocess.run(
            self.argv(*arguments),
            **self.settings(**more),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=120,
            input=input or "",
        )
        assert debug or "Traceback" not in done.stderr, done.stderr
        return done

    def ok(self, *arguments: str, **more: str) -> Done:
        done = self.run(*arguments, **more)
        assert done.returncode == 0, done.stderr
        return done

    @contextlib.contextmanager
    def terminal(
        self, *arguments: str, columns: int, rows: int, output: int | None, **more: str
    ) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """A command under way on a terminal of that size, and the end of that which we have; `output` takes its
        standard output elsewhere."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (rows, columns))
        settings = self.settings(**{"TERM": "xterm", "COLUMNS": "", **more})
        out = theirs if output is None else output
        with subprocess.Popen(
            self.argv(*arguments), **settings, stdout=out, stderr=theirs, start_new_session=True
        ) as engine:
            os.close(theirs)
            yield engine, ours

    def on_a_terminal(self, *arguments: str, errors_only: bool = False, columns: int = 80, **more: str) -> bytes:
        """What a terminal of that width gets of a command that ends well; or of its standard error alone."""
        seen, output = b"", subprocess.DEVNULL if errors_only else None
        with self.terminal(*arguments, columns=columns, rows=24, output=output, **more) as (engine, ours):
            try:
                while data := os.read(ours, 65536):
                    seen += data
            except OSError:
                pass  # how a terminal says that its last writer is gone
            os.close(ours)
        assert engine.returncode == 0, seen
        return seen.replace(b"\r\n", b"\n")

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command under way, in a group of its own; what is left of it at the end is killed."""
        with subprocess.Popen(
            self.argv(*arguments),
            **self.settings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as engine:
            try:
                yield engine
            finally:
                if engine.poll() is None:
                    engine.send_signal(signal.SIGKILL)

    def plan(self, *files: str) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(self.ok("plan", "--format=json", *files).stdout)
        return plan

    def states(self, *files: str) -> list[str]:
        return [step["state"] for step in self.plan(*files)["steps"]]

    def final(self, file: str) -> str:
        return str(self.plan(file)["jobs"][0]["final"])

    def at_rest(self) -> None:
        """Nothing runs for the store, nothing of it is mounted or half done, and it is whole."""
        until(lambda: not processes(str(self.place)))
        assert f"{self.place}/" not in Path("/proc/self/mountinfo").read_text()
        if (self.place / "index.db").exists():
            checked = self.run("fsck")
            assert (checked.returncode, checked.stderr) == (0, "")
