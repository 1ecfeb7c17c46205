"""What sharing saves where packages are really built: the 38 of specs/opam/offline as 38 jobs, at `-j 2`.

    sudo python bench/offline.py [PACKAGE…]

Needs root, mmdebstrap and Debian's archive. Each row is one `stepwood` command: the chains as `opam build` makes them;
the same once more when all results are deleted, so that each step's time is known; then each job with a variable of
its own, behind the recipe (so that jobs share that and the sources, but no package), or before it (nothing but the base
and what the cache keeps of downloads). `predicted` is what half of such runs, and nine in ten, were expected to take.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent / "specs/opam/offline"
BASE = ("--base", "debian=debootstrap:bookworm")
SET = ("--compiler", "ocaml-system.4.13.1", "--repo", str(REPOSITORY))


def stepwood(folder: Path, *arguments: str | Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), "XDG_CACHE_HOME": str(folder / "cache")}
    argv = [sys.executable, "-m", "stepwood", *arguments]
    done = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, argv))}: {done.stderr[-3000:]}")
    return done.stdout


def row(folder: Path, told: str, store: str, *arguments: str | Path) -> None:
    """Build, and print what the index says of it."""
    place = ("--store", f"overlay:{folder}/{store}")
    stepwood(folder, *arguments, *place, *BASE, "-j", "2", "-q")
    last = json.loads(stepwood(folder, "history", "--json", *place))["batches"][0]
    known = last["predicted"]
    predicted = f"{known['p50']:.0f}, {known['p90']:.0f}" if known else ""
    figures = f"{last['jobs']} | {last['built']} | {last['wall_seconds']:.0f} | {predicted}"
    print(f"| {told} | {figures} | {last['work_seconds']:.0f} |", flush=True)


def apart(folder: Path, packages: list[str], anchor: str) -> list[Path]:
    """The jobs as texts of their own, each with its own variable from the line that begins so."""
    found = []
    for name in packages:
        text = stepwood(folder, "opam", "spec", name, *SET)
        ours = re.sub(rf"(?m)^( *)({re.escape(anchor)})", rf"\1(env ALONE {name})\n\1\2", text)
        assert ours != text, name
        found.append(folder / f"{name}.spec")
        found[-1].write_text(ours)
    return found


def main() -> None:
    packages = sys.argv[1:] or sorted(path.name for path in (REPOSITORY / "packages").iterdir())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        solved = json.loads(stepwood(folder, "opam", "solve", *packages, *SET, "--json"))
        packages = [job["root"] for job in solved["jobs"]]
        print("| | jobs | steps built | s | predicted s | work s |\n| --- | --- | --- | --- | --- | --- |")
        build = ("opam", "build", *packages, *SET)
        row(folder, "chains that share", "shared", *build)
        place = ("--store", f"overlay:{folder}/shared")
        base = stepwood(folder, "opam", "plan", *packages, *SET, *BASE, *place).split()[1]
        stepwood(folder, "delete", base, *place)
        row(folder, "the same, its steps known", "shared", *build)
        row(folder, "each package apart", "packages", "build", *apart(folder, packages, '(run (shell "# install'))
        row(folder, "all apart", "all", "build", *apart(folder, packages, "(shell /bin/sh -e -c)"))


if __name__ == "__main__":
    main()
