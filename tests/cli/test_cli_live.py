"""The live view of a build, on terminals of several sizes."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from tests.cli.desk import Desk, sh, until
from tests.cli.screen import Screen, screen

pytestmark = [pytest.mark.root, pytest.mark.tool("mount")]

SIZES = pytest.mark.parametrize(("columns", "rows"), [(40, 12), (80, 24), (200, 50)])


def batch(*jobs: tuple[str, ...]) -> str:
    """A workflow: of each job the commands, of which equal first ones are shared."""
    texts = (
        " ".join(f"(run (shell {json.dumps(command, ensure_ascii=False)}))" for command in commands)
        for commands in jobs
    )
    return (
        "(workflow" + "".join(f"\n(job job-{n} ((from bb) (shell /bin/sh -c) {t}))" for n, t in enumerate(texts)) + ")"
    )


def blocks(screen: Screen) -> int:
    """How many blocks are to be seen: each has one bar."""
    return sum("░" in line or "█" in line for line in screen.lines)


@SIZES
def test_a_batch_from_start_to_end(desk: Desk, columns: int, rows: int) -> None:
    """What runs is told of with its last line, what failed with the lines that tell, and a summary stays."""
    desk.write("a.workflow", batch(
        ("echo begun; sleep 1", "echo compiling; sleep 2"),
        ("echo begun; sleep 1", "echo checking; echo 'main.c:3: error: no such thing'; exit 2"),
    ))  # fmt: skip
    with screen(desk, "build", "a.workflow", "-j2", columns=columns, rows=rows) as seen:
        seen.until(lambda: "1 running" in seen.text and seen.lines[-1].endswith("begun") and blocks(seen) == 1)
        assert "echo begun; sleep 1" in seen.text
        assert seen.has_cursor, "a build that is killed leaves a terminal with one"
        seen.until(lambda: "1 failed" in seen.text and "compiling" in seen.lines[-1] and blocks(seen))
        everything = "\n".join(seen.all)
        above = everything[: everything.index("░")]
        assert "exit 2" in above.replace("\n", "")
        assert "        | main.c:3: error: no such thing"[:columns] in above
        assert "        fails job-1" in above
        assert "1 of 2 jobs ended" in seen.text
        assert max(map(len, seen.lines)) <= columns
        assert seen.end() == 1
        assert blocks(seen) == 0
        assert seen.has_cursor
        told = "".join(line.ljust(columns) for line in seen.all)
        assert "failed  1 job, 1 cause:" in told
        assert "failed, 2 jobs: 3 built, 1 failed in " in told
    everything = "\n".join(seen.all)
    assert "built   " not in everything, "what went well is only counted"
    assert "run     " not in everything


def test_of_one_job_steps_and_their_output_pass_by(desk: Desk) -> None:
    desk.write("a.spec", sh("echo one; sleep 0.3; printf unfinished; sleep 1", "echo two; exit 3"))
    with screen(desk, "build", "a.spec") as seen:
        seen.until(lambda: "unfinished" in seen.lines[-1] and blocks(seen))
        above = seen.lines[: seen.lines.index(next(line for line in seen.lines if "░" in line))]
        assert above[-1] == "one", "a line without its end waits below"
        assert seen.end() == 1
    lines = [line.partition(" ")[0] for line in seen.all]
    assert [
        line for line in lines if line in ("run", "built", "one", "unfinished", "two", "failed", "job", "batch")
    ] == [*("run", "built", "run", "one", "unfinished", "built", "run", "two", "failed", "job", "batch")]


@pytest.mark.parametrize("sizes", [[(40, 24), (120, 24)], [(80, 8), (80, 40)], [(30, 6), (200, 50)], [(10, 3)]])
def test_it_survives_resizing(desk: Desk, sizes: list[tuple[int, int]]) -> None:
    desk.write("a.workflow", batch(("exit 7",), ("sleep 1.5; echo end; sleep 1.5",), ("sleep 3.1",)))
    with screen(desk, "build", "a.workflow", "-j3") as seen:
        seen.until(lambda: "2 running" in seen.text and "exit 7" in seen.text)
        for columns, rows in sizes:
            seen.resize(columns, rows)
            before = len(seen.written)
            # What is read may end within a frame, before what is erased is.
            seen.until(lambda: len(seen.written) > before + 500 and blocks(seen) <= 1)  # noqa: B023
            assert len(seen.lines) <= rows
        assert seen.end() == 1
        assert blocks(seen) == 0
        assert "".join(seen.all).count("batch   ") == 1


HOSTILE = [
    "\x1b[2J\x1b[H", "\x1b[?1049h", "\x1b]0;title\x07", "\x1b[5A", "\x1bc", "\x1b(0", "\x0e", "\x08" * 30, "\x0b\x0c",
    "\x9b2J", "\x1b[31", "\x1b", "\u202e", "\x00", "[red]markup[/red] :smile:",
]  # fmt: skip


@pytest.mark.parametrize("several", [False, True], ids=["one-job", "several"])
def test_nothing_that_a_step_writes_moves_the_cursor(desk: Desk, several: bool) -> None:
    written = "".join(f"{text}here\\n" for text in HOSTILE).replace("\x00", "\\000")
    command = (
        f"printf '%b' '{written}'; sleep 0.7; printf '%b' '{HOSTILE[0]}'; echo error: [bold]end; sleep 0.5; exit 1"
    )
    desk.write("a.workflow", batch((command,), *[("sleep 0.1",)] * several))
    with screen(desk, "build", "a.workflow", columns=120, rows=60) as seen:
        seen.until(lambda: blocks(seen) and "here" in seen.text)
        seen.until(lambda: "[bold]end" in seen.text and blocks(seen) == 1)
        assert seen.end() == 1
        assert "error: [bold]end" in seen.text
        if not several:
            assert seen.lines[0].startswith("run "), "what was there first still is"
            assert seen.text.count("here") >= len(HOSTILE)
        assert "[red]markup[/red] :smile:here" in seen.text
        assert seen.text.count("batch   ") == 1


def test_colours_of_a_step_pass_and_end_with_its_line(desk: Desk) -> None:
    desk.write("a.spec", sh(r"printf '\033[31mred\nplain\n'"))
    with screen(desk, "build", "a.spec") as seen:
        assert seen.end() == 0
        assert b"\x1b[31mred\x1b[0m" in seen.written


def test_of_several_jobs_that_are_there_only_the_end_is_said(desk: Desk) -> None:
    desk.write("a.workflow", batch(*[("echo trunk", f"echo leaf {number}") for number in range(60)]))
    with screen(desk, "build", "a.workflow") as seen:
        assert seen.end() == 0
        (line,) = seen.all
        assert "built, 60 jobs: 62 built in" in line
    with screen(desk, "build", "a.workflow") as seen:
        assert seen.end() == 0
        (line,) = seen.all
        assert "cached, 60 jobs: 62 cached in" in line


def test_output_that_goes_elsewhere_is_whole_there(desk: Desk) -> None:
    """As in a pipe; and the lines that tell are shown, as their log is not."""
    desk.write("a.spec", sh("echo error: here; exit 4"))
    with (desk.folder / "out").open("wb") as out, screen(desk, "build", "a.spec", output=out.fileno()) as seen:
        assert seen.end() == 1
        assert "        | error: here" in seen.lines
    assert (desk.folder / "out").read_text() == "error: here\n"


def test_a_line_of_megabytes_is_broken(desk: Desk) -> None:
    desk.write("a.spec", sh("head -c 3000000 /dev/zero | tr '\\0' x"))
    with screen(desk, "build", "a.spec") as seen:
        assert seen.end() == 0
        assert seen.written.count(b"x") >= 3_000_000


def test_an_interrupt_leaves_no_block(desk: Desk) -> None:
    desk.write("a.workflow", batch(("sleep 100",), ("sleep 101",)))
    with screen(desk, "build", "a.workflow", "-j2") as seen:
        seen.until(lambda: "2 running" in seen.text)
        seen.engine.send_signal(signal.SIGINT)
        assert seen.end() == 130
        assert blocks(seen) == 0
        assert "cancelled, 2 jobs" in seen.text
    desk.at_rest()


def test_a_terminal_that_hangs_up_does_not_end_the_build(desk: Desk) -> None:
    desk.write("a.workflow", batch(("sleep 1; echo a",), ("sleep 1; echo b",)))
    with screen(desk, "build", "a.workflow", "-j2") as seen:
        seen.until(lambda: "2 running" in seen.text)
        seen.hang_up()
        assert seen.engine.wait(30) == 0
    until(lambda: set(desk.states("a.workflow")) == {"cached"})


@pytest.mark.parametrize(
    ("arguments", "more"),
    [(["--plain"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"}), ([], {"PYTHONIOENCODING": "latin-1"})],
    ids=str,
)
def test_plain_lines_where_they_are_asked_for(desk: Desk, arguments: list[str], more: dict[str, str]) -> None:
    desk.write("a.workflow", batch(("echo one",), ("echo two",)))
    with screen(desk, "build", "a.workflow", "-j1", *arguments, **more) as seen:
        assert seen.end() == 0
        assert b"\x1b" not in seen.written
        assert "job-0 | one" in seen.lines


def test_plain_lines_where_another_program_reads_the_output(desk: Desk) -> None:
    """`| tee` writes to the terminal too, and knows nothing of a view."""
    desk.write("a.workflow", batch(("echo one",), ("echo two",)))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin is not None
        with screen(desk, "build", "a.workflow", "-j1", output=reader.stdin.fileno()) as seen:
            assert seen.end() == 0
        output, _ = reader.communicate()
    assert b"\x1b" not in seen.written
    assert output == b"job-0 | one\njob-1 | two\n"


def test_json_on_a_terminal_is_json(desk: Desk) -> None:
    desk.write("a.spec", sh("echo one"))
    with screen(desk, "build", "a.spec", "--json", columns=200) as seen:
        assert seen.end() == 0
    assert {json.loads(line)["event"] for line in seen.written.splitlines()} == {
        "start",
        "log",
        "finish",
        "job",
        "batch",
    }
