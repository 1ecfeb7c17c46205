"""`stepwood opam bisect`: which commit of a repository broke a package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stepwood.commands import options
from stepwood.commands.packages.found import WANTED, laying_out
from stepwood.commands.packages.jobs import jobs_of, run
from stepwood.console import put, say
from system.errors import InputError, MachineError

if TYPE_CHECKING:
    from stepwood.opam.git import Commit


@click.command()
@laying_out
@options.running
@click.option("--good", required=True, metavar="REV", help="A revision of the first --repo in which it builds.")
@click.option("--bad", default="HEAD", show_default=True, metavar="REV", help="One in which it does not.")
def bisect(good: str, bad: str, **shared: Any) -> None:
    """Find the first commit of a repository, a folder with git, after which PKG does not build with --compiler.

    Steps that two commits have in common run once, and a commit that changes none of them costs nothing.
    """
    from stepwood.opam.bisection import first_bad
    from stepwood.opam.git import changed, commits

    wanted = {name: shared.pop(name) for name in WANTED}
    if len(wanted["packages"]) != 1 or not wanted["repositories"] or "," in (wanted["compilers"] or ","):
        raise InputError("opam bisect takes one PKG, one --compiler and a --repo that is a folder with git")
    folder, *others = wanted["repositories"]
    if not Path(folder).is_dir():
        raise InputError(f"opam bisect looks at revisions of the first --repo, and {folder} is no folder with git")
    between = commits(folder, good, bad)

    def builds(revision: str) -> bool:
        return _builds(wanted | {"repositories": (f"{folder}:{revision}", *others)}, revision, shared)

    if not builds(good):
        raise InputError(f"{wanted['packages'][0]} does not build in {good} either", hint="--good must be older")
    found: Commit | None = first_bad(between, lambda commit: builds(commit.id))
    if found is None:
        raise InputError(f"{wanted['packages'][0]} builds in {bad}")
    put([f"first bad commit: {found.id} {found.subject}"], None)
    put([f"  it changed {'.'.join(id)}" for id in sorted(changed(folder, f"{found.id}^", found.id))], None)


def _builds(wanted: dict[str, Any], revision: str, shared: dict[str, Any]) -> bool:
    """Whether the package builds in a revision; it is said."""
    made = jobs_of(**wanted)
    made.check(shared["context"])
    if not made.jobs:
        say(f"{revision}: not available: {made.refused[0].reason}")
        return False
    (cell,) = run(made, **shared).cells
    say(f"{revision}: {cell.result}{f': {cell.why}' if cell.why else ''}")
    if cell.result == "internal failure":
        raise MachineError(f"{revision}: {cell.why}", hint="bisect again when that is mended: what was built stays")
    return cell.result == "good"
