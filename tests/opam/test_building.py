"""Packages that are built for real, from sources that a server of our own hands out and counts."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.counts import FULL
from tests.opam.repositories import commit, git, make

SPECS = Path(__file__).parents[2] / "specs"
DEBIAN = "debian=debootstrap:bookworm"

pytestmark = [
    pytest.mark.root,
    pytest.mark.debian,
    pytest.mark.tool("mmdebstrap"),
    pytest.mark.timeout(1800),
]


def packed(name: str) -> bytes:
    """A source of one file, always the same bytes."""
    data = f"I am {name}\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        info = tarfile.TarInfo(f"{name}/x")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


@dataclass
class Archive:
    """A server of sources. What begins with `gone` it has not."""

    asked: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def url(self, name: str, content: bytes | None = None) -> str:
        """The section that says where a source is, with the checksum of `content`, or of what is there."""
        sum = hashlib.sha256(packed(name) if content is None else content).hexdigest()
        return f'url {{ src: "http://127.0.0.1:{self.port}/{name}.tar" checksum: "sha256={sum}" }}'


@pytest.fixture(scope="module")
def archive() -> Iterator[Archive]:
    found = Archive()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").removesuffix(".tar")
            found.asked[name] += 1
            gone = name.startswith("gone")
            self.send_response(404 if gone else 200)
            self.end_headers()
            self.wfile.write(b"" if gone else packed(name))

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


INSTALL = 'install: [["mkdir" "-p" "%{lib}%/NAME"] ["cp" "x" "%{lib}%/NAME/x"]]'


def packages(archive: Archive) -> dict[str, str]:
    def lib(name: str, more: str = "", url: str | None = None) -> str:
        return f"{INSTALL.replace('NAME', name)}\n{more}\n{archive.url(name) if url is None else url}"

    needs_lib = 'depends: ["lib"]'
    return {
        "ocaml-base-compiler.1": "flags: compiler",
        "ocaml-base-compiler.2": "flags: compiler",
        "lib.1": lib("lib", 'depends: ["ocaml-base-compiler"]'),
        "app.1": lib("app", 'depends: ["lib" "tool"] build: ["cat" "%{lib}%/lib/x" "%{lib}%/tool/x"]'),
        "tool.1": lib("tool", f'{needs_lib} run-test: ["sh" "-c" "echo Error: 1 is not 2; exit 4"]'),
        "bad.1": lib("bad", f'{needs_lib} build: ["sh" "-c" "echo going; echo Error: it is broken; exit 3"]'),
        "on-bad.1": 'depends: ["bad"]',
        "known.1": f'{needs_lib} build: ["false"] x-ci-accept-failures: ["debian-12"]',
        "gone.1": lib("gone", needs_lib),
        "changed.1": lib("changed", needs_lib, archive.url("changed", b"something else")),
        "hangs.1": f'{needs_lib} build: ["sleep" "1000"]',
        "escapes.1": lib("escapes", needs_lib).replace('"%{lib}%/escapes/x"', '"/usr/lib/x"'),
        "missing.1": 'depends: ["nothing"]',
        "system.1": 'depexts: [["hello" "no-such-package"] {os-family = "debian"}] build: ["hello"]',
    }


@dataclass(frozen=True)
class Bench:
    folder: Path
    archive: Archive

    def run(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "stepwood", *arguments]
        if "spec" not in arguments:
            argv += ["--store", f"overlay:{self.folder}/store"]
        if {"build", "plan", "bisect"} & set(arguments):
            argv += ["--base", DEBIAN]
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == code, done.stderr[-3000:] + done.stdout[-3000:]
        return done

    def opam(self, command: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        compiler = () if "--compiler" in arguments else ("--compiler", "1")
        return self.run("opam", command, *arguments, *compiler, "--repo", "repository", code=code)

    def cells(self, *arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
        """The results of a build, by package, and compiler where there are several."""
        self.opam("build", "-q", *arguments, "--results", "results.json", code=code)
        found = json.loads((self.folder / "results.json").read_text())["cells"]
        several = len({cell["compiler"] for cell in found}) > 1
        return {cell["package"] + (f"@{cell['compiler']}" if several else ""): cell for cell in found}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, archive: Archive) -> Bench:
    folder = tmp_path_factory.mktemp("opam")
    for id, text in packages(archive).items():
        place = folder / "repository/packages" / id.partition(".")[0] / id
        place.mkdir(parents=True)
        (place / "opam").write_text(f'opam-version: "2.0"\n{text}\n')
    return Bench(folder, archive)


def test_packages_are_built_each_source_fetched_once_whatever_the_number_of_jobs(bench: Bench) -> None:
    found = bench.cells("lib", "tool", "app", "--compiler", "1,2", "-j", "4")
    assert {id: cell["result"] for id, cell in found.items()} == {
        f"{name}.1@{compiler}": "good" for name in ("lib", "tool", "app") for compiler in (1, 2)
    }
    assert bench.archive.asked == {"lib": 1, "tool": 1, "app": 1}
    # Another base: nothing of it is there, and the sources come out of the cache that all jobs share.
    text = (SPECS / "opam/debian.spec").read_text().replace("(workdir /opam)", "(workdir /opam)\n (env OTHER 1)")
    (bench.folder / "other.spec").write_text(text)
    again = bench.cells("app", "--recipe", "other.spec")
    assert again["app.1"]["result"] == "good"
    assert bench.archive.asked == {"lib": 1, "tool": 1, "app": 1}


def test_opam_knows_what_is_in_a_result_and_can_build_it_again(bench: Bench) -> None:
    text = bench.opam("spec", "app").stdout
    assert text.endswith("\n)\n")
    asked = 'opam list --short --installed; opam reinstall app; cat \\"$(opam var lib)/app/x\\"'
    (bench.folder / "app.spec").write_text(f'{text[:-2]} (run (shell "{asked}")))\n')
    said = bench.run("build", "app.spec").stdout
    assert "app\nlib\nocaml-base-compiler\ntool\n" in said
    assert "removed   app.1\n" in said
    assert "installed app.1\n" in said
    assert said.endswith("I am app\n")


def test_a_pinned_folder_is_built_as_it_is_now(bench: Bench) -> None:
    mine = bench.folder / "mine"
    (mine / "_build").mkdir(parents=True)
    (mine / "_build" / "leftover").touch()
    (mine / "x").write_text("first\n")
    text = f"""{INSTALL.replace("NAME", "lib")}
        build: [["test" "!" "-e" "_build"] ["sh" "-c" "echo this is $(cat x)"]]
        run-test: ["grep" "first" "x"]
    """
    (mine / "lib.opam").write_text(text)
    pin = ("--pin", f"lib={mine}")
    found = bench.cells("lib", "app", *pin, "--with-test")
    assert {id: cell["result"] for id, cell in found.items()} == {"lib.dev": "good", "app.1": "good"}
    assert bench.cells("app", *pin)["app.1"]["seconds"] == 0, "nothing has changed"
    command = json.loads((bench.folder / "results.json").read_text())["command"]
    assert f"--pin=lib={mine}" in command
    (mine / "x").write_text("second\n")
    found = bench.cells("lib", "app", *pin, "--with-test", code=1)
    assert {id: cell["result"] for id, cell in found.items()} == {"lib.dev": "partial", "app.1": "good"}
    assert found["app.1"]["seconds"] > 0

    spec = bench.opam("spec", "app", *pin)
    assert f"--context {mine}" in spec.stderr
    (bench.folder / "pinned.spec").write_text(spec.stdout)
    bench.run("build", "-q", "pinned.spec", "--context", str(mine))
    assert re.search(r" (\d+) distinct: \1 cached", bench.run("plan", "pinned.spec", "--context", str(mine)).stdout)
    assert "--context" in bench.opam("build", "app", *pin, "--context", str(mine), code=2).stderr
    other = ("--pin", f"tool.1={mine}")
    (mine / "tool.opam").write_text("")
    bench.opam("spec", "app", *pin, *other)
    (bench.folder / "apart").mkdir()
    (bench.folder / "apart/tool.opam").write_text("")
    told = bench.opam("spec", "app", *pin, "--pin", f"tool.1={bench.folder}/apart", code=2).stderr
    assert told.startswith("opam spec prints what has one folder pinned at most")


def test_every_fault_has_its_class_and_the_batch_goes_on(bench: Bench) -> None:
    names = [id.rpartition(".")[0] for id in packages(bench.archive) if not id.startswith("ocaml")]
    found = bench.cells(*names, "--silence", "10s", code=1)
    told = {cell["package"].partition(".")[0]: (cell["result"], cell["why"], cell["root"]) for cell in found.values()}
    assert told == {
        "lib": ("good", "", []),
        "app": ("good", "", []),
        "tool": ("good", "", []),
        "bad": ("bad", "it cannot be installed (status 31)", ["bad.1"]),
        "on-bad": ("dependency failed", "bad.1: it cannot be installed (status 31)", ["bad.1"]),
        "known": ("bad", "it cannot be installed (status 31)", ["known.1"]),
        "gone": ("bad", "its source is gone (status 22)", ["gone.1"]),
        "changed": ("bad", "its source is not what its checksum says (status 65)", ["changed.1"]),
        "hangs": ("bad", "it cannot be installed (stopped after 10 s without output)", ["hangs.1"]),
        "escapes": ("bad", "it cannot be installed (status 31)", ["escapes.1"]),
        "missing": ("not available", "missing.1 needs nothing, which is not there", []),
        "system": ("good", "", []),
    }
    assert {name for name, cell in found.items() if cell["accepted"]} == {"known.1"}
    shown = bench.run("opam", "results").stdout
    assert "  | going\n  | Error: it is broken\n  stepwood log " in shown
    assert "  | /usr/bin/cp: cannot create regular file '/usr/lib/x': Permission denied\n" in shown
    assert "  | curl: (22) The requested URL returned error: 404\n" in shown
    assert "bad.1 failed for 1 package that needs it" in shown
    line = next(line for line in shown.splitlines() if line.endswith("bad.1 --compiler=1"))
    assert line.strip().startswith("stepwood opam build --repo=")


def test_a_known_failure_alone_is_no_failure(bench: Bench) -> None:
    assert bench.cells("known")["known.1"]["result"] == "bad"


def test_tests_run_apart_and_what_they_say_is_partial(bench: Bench) -> None:
    found = bench.cells("tool", "lib", "--with-test", code=1)
    assert {id: cell["result"] for id, cell in found.items()} == {"tool.1": "partial", "lib.1": "good"}
    assert found["tool.1"]["why"] == "its tests fail (status 31)"
    plan = json.loads(bench.opam("plan", "tool", "--with-test", "--format=json").stdout)
    assert [step["state"] for step in plan["steps"]].count("run") == 0, "all but the test is there already"
    assert plan["steps"][-1]["state"] == "failed"


def test_a_batch_is_compared_with_another(bench: Bench) -> None:
    def tree() -> Path:
        return bench.folder / "repository/packages/tool/tool.1/opam"

    before = bench.cells("tool", "app")
    assert {cell["result"] for cell in before.values()} == {"good"}
    (bench.folder / "results.json").rename(bench.folder / "old.json")
    text = tree().read_text()
    tree().write_text(text + 'build: ["false"]\n')
    try:
        bench.cells("tool", "app", code=1)
    finally:
        tree().write_text(text)
    told = bench.run("opam", "compare", "old.json", code=1).stdout.splitlines()
    assert told[0] == "newly broken: 1"
    assert told[1].startswith("  tool.1 with 1: bad: it cannot be installed")
    assert told[2] == "newly broken, by a dependency: 1"
    assert told[3].startswith("  app.1 with 1: dependency failed: tool.1")
    document = json.loads(bench.run("opam", "compare", "old.json", "results.json", "--json", code=1).stdout)
    assert [(one["change"], one["direct"]) for one in document["changes"]] == [
        ("newly broken", True), ("newly broken", False),
    ]  # fmt: skip
    assert bench.run("opam", "compare", "old.json", "old.json").stdout == "nothing is different\n"


def test_the_commit_that_broke_a_package_is_found(bench: Bench) -> None:
    folder = bench.folder / "history"
    shutil.copytree(bench.folder / "repository", folder)
    commit(folder)
    good = git(folder, "rev-parse", "HEAD")
    lib = folder / "packages/lib/lib.1/opam"
    for number in range(6):
        if number == 3:
            lib.write_text(lib.read_text() + 'build: ["false"]\n')
        else:
            make(folder, {f"packages/more/more.{number}/opam": 'synopsis: "no matter"'})
        commit(folder)
    planted = git(folder, "rev-parse", "HEAD~2")
    arguments = ["opam", "bisect", "tool", "--compiler", "1", "--repo", "history", "-q"]
    done = bench.run(*arguments, "--good", good)
    assert done.stdout.splitlines()[-2:] == [f"first bad commit: {planted} x", "  it changed lib.1"]
    assert "bad: lib.1" not in done.stderr
    assert "dependency failed: lib.1: it cannot be installed" in done.stderr
    assert "builds in HEAD~3" in bench.run(*arguments, "--good", good, "--bad", "HEAD~3", code=2).stderr
    assert "does not build in HEAD~1 either" in bench.run(*arguments, "--good", "HEAD~1", code=2).stderr
    assert "git knows no revision" in bench.run(*arguments, "--good", "nowhere", code=2).stderr


def test_the_store_is_whole(bench: Bench) -> None:
    assert bench.run("fsck").stderr == ""


SYSTEM, BYTECODE = "ocaml-system.4.13.1", "ocaml-variants.4.13.1+bytecode"
PART = ("fmt", "re", "yojson")
"""Of the offline set: built by ocamlbuild, by dune, and with what they need."""


def test_real_packages_are_built_from_debians_archive(bench: Bench) -> None:
    """In full all of them, and with a second compiler, which is compiled first."""
    asked, compilers = (("--all",), f"{SYSTEM},{BYTECODE}") if FULL else (PART, SYSTEM)
    arguments = ["opam", "build", "-q", *asked, "--repo", str(SPECS / "opam/offline"), "--results", "real.json"]
    done = bench.run(*arguments, "--compiler", compilers)
    cells = json.loads((bench.folder / "real.json").read_text())["cells"]
    found = Counter((cell["compiler"], cell["result"]) for cell in cells)
    if FULL:  # neither compiler can be there with the other
        wanted = {(one, how): n for one in (SYSTEM, BYTECODE) for how, n in (("good", 38), ("not available", 1))}
    else:
        wanted = {(SYSTEM, "good"): len(PART)}
    assert found == wanted, done.stdout


def test_the_samples_are_what_they_say() -> None:
    assert os.path.samefile(SPECS / "opam/debian.spec", SPECS.parent / "stepwood/opam/debian.spec")
    assert len([*SPECS.glob("opam/offline/packages/*/*/opam")]) == 39
