"""Commands that need no store, and what holds for every command: help, wrong input, its place, exit codes."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from stepwood.cli import COMMANDS, LATER
from tests.cli.desk import Desk, sh

GOOD = '((from debian)\n (shell /bin/sh -c)\n (run (shell "true")))\n'


def test_check_is_silent_about_what_is_right(texts: Desk) -> None:
    texts.write("a.spec", GOOD)
    done = texts.run("check", "a.spec", "a.spec")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_check_shows_place_caret_and_hint_of_every_wrong_file(texts: Desk) -> None:
    texts.write("a.spec", '((from debian)\n (rum (shell "x")))\n')
    texts.write("b.spec", "((from debian)\n (copy (src a) (dts b)))\n")
    done = texts.run("check", "a.spec", "b.spec")
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert lines[0].startswith("a.spec:2:3: ")
    assert lines[1:4] == [' (rum (shell "x")))', "  ^", 'did you mean "run"?']
    assert lines[4].startswith("b.spec:2:17: ")
    assert 'did you mean "dst"?' in lines


def test_standard_input_is_a_dash(texts: Desk) -> None:
    assert texts.run("check", "-", input=GOOD).returncode == 0
    assert texts.run("check", "-", input="(").stderr.startswith("<stdin>:1:")
    assert texts.run("fmt", "-", input=GOOD).stdout == texts.run("fmt", "-", input=GOOD.replace("\n", " ")).stdout
    assert texts.run("dockerfile", "-", input=GOOD).stdout.startswith("FROM debian")
    assert texts.run("fmt", "--write", "-", input=GOOD).returncode == 2


def test_fmt_check_and_write(texts: Desk) -> None:
    untidy = '((from   debian)\n\n(run (shell "true")))'
    texts.write("a.spec", untidy)
    done = texts.run("fmt", "--check", "a.spec")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "a.spec is not canonical\n")
    assert (texts.folder / "a.spec").read_text() == untidy
    canonical = texts.run("fmt", "a.spec").stdout
    done = texts.run("fmt", "--write", "a.spec")
    assert (done.returncode, done.stdout) == (0, "")
    assert (texts.folder / "a.spec").read_text() == canonical
    assert texts.run("fmt", "--check", "a.spec").returncode == 0
    assert texts.run("fmt", "a.spec").stdout == canonical


def test_dockerfile_with_and_without_buildkit(texts: Desk) -> None:
    texts.write("a.spec", '((from debian) (run (cache (c (target /c))) (secrets (s (target /s))) (shell "a\nb")))')
    plain = texts.run("dockerfile", "a.spec").stdout
    kit = texts.run("dockerfile", "--buildkit", "a.spec").stdout
    windows = texts.run("dockerfile", "--escape=windows", "a.spec").stdout
    assert "--mount" not in plain
    assert "--mount=type=cache" in kit
    assert "--mount=type=secret" in kit
    assert windows != plain
    assert texts.run("dockerfile", "--escape=dos", "a.spec").returncode == 2


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_helps(texts: Desk, command: str) -> None:
    done = texts.run(*([command] if command else []), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: stepwood {command}".rstrip())


def test_help_lists_the_commands(texts: Desk) -> None:
    told = texts.run("--help").stdout
    assert [name for name in COMMANDS if f"\n  {name} " not in told] == []


@pytest.mark.parametrize("command", LATER[::4])
def test_what_is_to_come_says_so(texts: Desk, command: str) -> None:
    done = texts.run(command, "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"`stepwood {command}` is not supported yet\n"


def test_what_is_mistyped_is_guessed(texts: Desk) -> None:
    texts.write("a.spec", GOOD)
    for arguments, guess in (
        (["chekc", "a.spec"], '"check"'),
        (["fmt", "--chekc", "a.spec"], "--check"),
        (["build", "--jsn", "a.spec"], "--json"),
    ):
        done = texts.run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "did you mean" in done.stderr.lower(), done.stderr  # the wording of options is click's
        assert guess in done.stderr
    assert texts.run("check").returncode == 2
    assert texts.run("quux").returncode == 2


@pytest.mark.parametrize("command", ["check", "build"])
@pytest.mark.parametrize("kind", ["missing", "folder", "binary", "empty", "under-a-file"])
def test_a_file_that_is_no_spec_is_2(texts: Desk, command: str, kind: str) -> None:
    (texts.folder / "folder").mkdir()
    (texts.folder / "binary").write_bytes(bytes(range(256)))
    (texts.folder / "empty").touch()
    file = "empty/x" if kind == "under-a-file" else kind
    done = texts.run(command, file)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{file}:")


def test_debug_shows_a_traceback(texts: Desk) -> None:
    done = texts.run("--debug", "fmt", "missing", debug=True)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("missing: No such file or directory\n")


@pytest.mark.parametrize("arguments", [["--help"], ["check", "a.spec"]])
def test_starting_up_is_quick(texts: Desk, arguments: list[str]) -> None:
    """Generously: the figure itself is the bench's."""
    texts.write("a.spec", GOOD)
    took = []
    for _ in range(3):
        begun = time.monotonic()
        texts.run(*arguments)
        took.append(time.monotonic() - begun)
    assert min(took) < 1


@pytest.mark.parametrize("arguments", [["--help"], ["fmt", "a.spec"], ["fmt", "long.spec"]])
def test_output_that_nobody_reads_is_no_error(texts: Desk, arguments: list[str]) -> None:
    texts.write("a.spec", GOOD)
    texts.write("long.spec", sh(*[f"echo {i}" for i in range(5000)]))
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        done = subprocess.run(
            texts.argv(*arguments), **texts.settings(), stdout=nobody, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_output_that_does_not_fit_is_3(texts: Desk) -> None:
    texts.write("a.spec", GOOD)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            texts.argv("fmt", "a.spec"),
            **texts.settings(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 3
    assert done.stderr.startswith("No space left on device")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("stor = 'x'", 'did you mean "store"?'),
        ("store = 3", "store must be a string"),
        ("pull = 'often'", "missing, always, never"),
        ("base = 3", "URL for each name"),
        ("= nothing", "stepwood.toml"),
    ],
)
def test_a_wrong_setting_is_2(texts: Desk, toml: str, told: str) -> None:
    texts.write("a.spec", GOOD)
    texts.write("stepwood.toml", toml)
    done = texts.run("plan", "a.spec")
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert texts.run("plan", "a.spec", "--config", "none.toml").returncode == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--store", "moon:/x"],
        ["--store", "nowhere"],
        ["--base", "x"],
        ["--pull", "often"],
        ["--format", "svg"],
        ["-o", "no/such/folder"],
    ],
)
def test_a_wrong_option_of_plan_is_2(texts: Desk, options: list[str]) -> None:
    texts.write("a.spec", f"((from dir:{texts.folder}))")
    done = texts.run("plan", "a.spec", *options)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
