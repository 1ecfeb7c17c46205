"""What planning opam's whole repository costs, as whole commands: the first time, again, and after a commit.

    python bench/packages.py [DATA]

DATA is the folder with the repository's opam files (opam-repository-97014be.opam-files.tar.xz; default ../shared/data,
or STEPWOOD_DATA). Needs git, tar and xz, and Debian's archive, of which the base is one. Each row is one command on a
git revision; the memory of what was read is empty at first and filled by the rows before.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
FILE = "opam-repository-97014be.opam-files.tar.xz"
COMPILER, COMPILERS = "5.3.0", "4.14.2,5.2.1,5.3.0,5.4.1,5.5.0"
TIMES = 5
"""How often what is known already is asked for again."""
FEW = ("cpdf/cpdf.2.9", "accessor_core/accessor_core.v0.17.0", "tls/tls.2.1.2")
"""Package versions that a commit touches, which few others may need."""
MANY = ("fmt/fmt.0.11.0", "yojson/yojson.3.0.0", "alcotest/alcotest.1.9.1")
"""And others, which half of all may need."""
MOST = ("dune/dune.3.24.2", "base/base.v0.17.3", "ppxlib/ppxlib.0.38.0")
"""And others, of which nearly all take one."""


def run(folder: Path, *arguments: str, times: int = 1) -> None:
    """Run a command of Stepwood; print its seconds and the most memory that one so far has had. Of several times each
    starts with the same memory of what was read, and the least counts: others use the machine too."""
    env = {
        **os.environ,
        "PYTHONPATH": str(HERE.parent),
        # Compiled once, as what is installed is.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    argv = [
        sys.executable,
        "-m",
        "stepwood",
        "opam",
        *arguments,
        "--repo",
        f"{folder}/repository:HEAD",
        "-o",
        "/dev/null",
    ]
    seconds = []
    if times > 1:
        shutil.copytree(folder / "cache", folder / "before")
    for _ in range(times):
        if times > 1:
            shutil.rmtree(folder / "cache")
            shutil.copytree(folder / "before", folder / "cache")
            os.sync()
        begun = time.perf_counter()
        subprocess.run(argv, env=env, check=True, cwd=folder, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begun)
    shutil.rmtree(folder / "before", ignore_errors=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    told = " ".join(arguments).partition(" --store")[0]
    print(f"| `opam {told}` | {min(seconds):.1f} | {peak:,.0f} |", flush=True)


def git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    subprocess.run(["git", "-C", folder / "repository", *name, *arguments], check=True, stdout=subprocess.DEVNULL)


def bounds(folder: Path, places: tuple[str, ...]) -> None:
    """A commit: another upper bound of `ocaml` for each of these."""
    for place in places:
        file = folder / "repository/packages" / place / "opam"
        text = file.read_text()
        bounded = re.sub(r'("ocaml"\s+{>= "[^"]*")', r'\1 & < "9"', text, count=1)
        assert bounded != text, place
        file.write_text(bounded)
    commit(folder, "bounds", places)


def releases(folder: Path, places: tuple[str, ...]) -> None:
    """A commit: a new version of each, which asks for what this one does."""
    for place in places:
        old = folder / "repository/packages" / place
        version = old.name.partition(".")[2]
        shutil.copytree(old, old.with_name(old.name.replace(version, "v99" if version[0] == "v" else "99")))
    commit(folder, "new versions", places)


def commit(folder: Path, what: str, places: tuple[str, ...]) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "-qm", what)
    print(f"| *a commit, {what}: {', '.join(Path(place).name for place in places)}* | | |", flush=True)


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("STEPWOOD_DATA", HERE.parents[1] / "shared/data"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "repository").mkdir()
        subprocess.run(["tar", "-C", folder / "repository", "-xf", data / FILE], check=True)
        git(folder, "init", "-q")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", "all")
        plan = ("--store", f"overlay:{folder}/store", "--base", "debian=debootstrap:bookworm", "--format=json")
        print("| command | s | most MB so far |\n| --- | --- | --- |", flush=True)
        run(folder, "solve", "lwt", "--compiler", COMPILER)
        run(folder, "solve", "lwt", "--compiler", COMPILER, times=TIMES)
        run(folder, "solve", "--all", "--compiler", COMPILER)
        run(folder, "solve", "--all", "--compiler", COMPILER, times=TIMES)
        run(folder, "solve", "--all", "--compiler", COMPILER, "--solver", "clingo")
        merge = ("plan", "--all", "--compiler", COMPILER, "--layout", "merge", *plan)
        run(folder, *merge)
        run(folder, *merge, times=TIMES)
        for change, places in ((bounds, FEW), (bounds, MANY), (releases, FEW), (releases, MANY), (releases, MOST)):
            change(folder, places)
            run(folder, *merge, times=TIMES)
        for order in ("alphabetical", "popular", "online", "agglomerative"):
            run(folder, "plan", "--all", "--compiler", COMPILER, "--order", order, *plan)
        run(folder, "plan", "--all", "--compiler", COMPILERS, "--layout", "merge", *plan)


if __name__ == "__main__":
    main()
