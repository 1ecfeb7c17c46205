"""How a package is built: the ops that fetch its source, install it and test it.

They go on from what a recipe has made: a spec whose result has opam (2.1 or newer), curl and a C compiler, and in
$OPAMROOT, which its last user owns, a switch without packages and, in `repository`, opam's only repository, an empty
one. A step writes the one opam file it needs there, and opam does the rest, alone in its root, without network.

What comes first in a command says what the step is for, and `label` reads it again.
"""

from __future__ import annotations

import base64
import posixpath
import re
import shlex
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from grammar import ast
from grammar.source import Body
from stepwood.opam.instructions import Instructions
from stepwood.opam.universe import Id
from system.errors import InputError

ARCHIVES = ast.Mount("opam-archives", "/var/cache/opam-archives", (("sharing", "locked"),))
"""The cache that all sources go through. It is locked, as else of two that are fetched at once one is forgotten."""
SHELL = ast.Shell(("/bin/sh", "-e", "-c"))
GONE, CHANGED = 22, 65
"""Exit statuses of a source step: no place has it (any more), and what a place has is not what its checksum says."""
LEFT_BEHIND = (".git", "_build", "_opam")
"""What a folder has beside sources, at any depth."""
SYSTEM = "system packages"
LINES = 100_000
"""Of a log, how many are looked at."""
_LABEL = re.compile(r"# (source|install|test) (\S+)|# " + SYSTEM)

Kind = Literal["source", "install", "test", "system"]
Command = tuple[Kind, str]
"""What a step is for, and of which package (`NAME.VERSION`, "" for system packages)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe's text, and what its ops leave for the ops that follow."""

    body: Body
    root: str
    """$OPAMROOT."""
    user: ast.UserIds

    @classmethod
    def of(cls, body: Body) -> Recipe:
        """Raises InputError for a spec that is no recipe."""
        root = next(
            (op.value for op in reversed(body.spec.ops) if isinstance(op, ast.Env) and op.name == "OPAMROOT"), ""
        )
        user = next((op for op in reversed(body.spec.ops) if isinstance(op, (ast.UserIds, ast.UserName))), None)
        if not root.startswith("/") or not isinstance(user, ast.UserIds):
            missing = "(user (uid …) (gid …))" if root.startswith("/") else "(env OPAMROOT /…)"
            raise InputError(f"{body.source.file} is no recipe for opam packages: it has no {missing}")
        return cls(body, root, user)


def label(command: str) -> Command | None:
    """What a step is for by its command; None of a command that is not from here."""
    match = _LABEL.match(command)
    if match is None:
        return None
    kind: Kind = match[1] or "system"  # type: ignore[assignment]
    return kind, match[2] or ""


def output(lines: Iterable[str]) -> list[str]:
    """Of the log of a step that opam failed: what the command printed that failed; else the log. Of a long one, the
    end."""
    log = deque(lines, maxlen=LINES)
    found: list[str] = []
    inside = False
    for line in log:
        if inside and not line.startswith("#"):
            break
        if inside:
            found.append(line[2:])
        inside = inside or line.startswith("### output ###")
    return found or list(log)


def source(package: Instructions) -> tuple[ast.Op, ...]:
    """Fetch all that its source consists of to where opam looks first; nothing where it has no source."""
    wanted = package.archives
    if not wanted:
        return ()
    gets = "".join(f"get {one.kind} {one.checksum} {' '.join(map(shlex.quote, one.urls))}\n" for one in wanted)
    return (ast.Run(f"# source {package}\n{_GET}{gets}", cache=(ARCHIVES,), network=("host",)),)


def pinned(package: Instructions, root: str) -> tuple[ast.Op, ...]:
    """Pack the folder that it is pinned to, the context, as an archive that opam looks for first by its checksum, which
    is told to `install` in a file, as only the step knows it. (opam itself would need rsync for a folder.)"""
    folder = f"{root}/pinned-{package.name}"
    return (
        ast.Copy((".",), folder, exclude=LEFT_BEHIND),
        ast.Run(f"# source {package}\n{_PACK.format(name=package.name, package=package)}"),
    )


_GET = f"""\
get() {{
  kind=$1 sum=$2 status={GONE}; shift 2
  kept={ARCHIVES.target}/$kind/$sum place=$OPAMROOT/download-cache/$kind/$(printf %.2s $sum)/$sum
  mkdir -p "${{kept%/*}}" "${{place%/*}}"
  same() {{ printf '%s  %s\\n' $sum "$1" | ${{kind}}sum -c --status; }}
  if [ -e "$kept" ] && same "$kept"; then cp "$kept" "$place"; return; fi
  for url; do
    echo "fetching $url"
    curl -fsSL --connect-timeout 30 --speed-limit 1 --speed-time 60 -o "$place" -- "$url" || {{ status=$?; continue; }}
    if same "$place"; then cp "$place" "$kept.new"; mv "$kept.new" "$kept"; return; fi
    echo "$url is not what its $kind says: $(${{kind}}sum <"$place" | cut -d' ' -f1), not $sum"; status={CHANGED}
  done
  exit $status
}}
"""


_PACK = """\
cd "$OPAMROOT"
tar --sort=name --mtime=2000-01-01Z --owner=0 --group=0 --numeric-owner -cf pinned.tar pinned-{name}
gzip -n -1 pinned.tar
sum=$(sha256sum <pinned.tar.gz | cut -d' ' -f1)
place=download-cache/sha256/$(printf %.2s $sum)
mkdir -p $place download-cache/pins
mv pinned.tar.gz $place/$sum
printf 'url {{\\n  src: "https://pinned.invalid/{package}.tar.gz"\\n  checksum: "sha256=%s"\\n}}\\n' $sum \\
  >download-cache/pins/{package}
rm -rf pinned-{name}
"""


def install(package: Instructions, needs: Sequence[Id], files: Mapping[str, bytes]) -> ast.Run:
    """Build and install it on what it needs. `files` are those that the repository has for it."""
    text = package.opam_file(needs)
    return ast.Run(f"# install {package}\n{_described(package, text, files)}opam install {package}\n")


def test(package: Instructions, needs: Sequence[Id], tests: Sequence[Id], files: Mapping[str, bytes]) -> ast.Run:
    """Build it anew with its tests, and run them, where it is installed and they have all they need."""
    text = package.opam_file(needs, tests)
    return ast.Run(f"# test {package}\n{_described(package, text, files)}opam reinstall --with-test {package}\n")


def _described(package: Instructions, text: str, files: Mapping[str, bytes]) -> str:
    """Commands that put a package's opam file, and the files beside it, into the repository."""
    end = "END"
    while end in text.split("\n"):
        end += "_"
    folder = f'"$OPAMROOT/repository/packages/{package.name}/{package}"'
    lines = [f"mkdir -p {folder}", f"cd {folder}", f"cat >opam <<'{end}'", f"{text}{end}"]
    if package.folder:
        lines.append(f'cat "$OPAMROOT/download-cache/pins/{package}" >>opam')
    for path, data in files.items():
        place = f"files/{path}"
        lines += [f"mkdir -p {shlex.quote(posixpath.dirname(place))}", f"base64 -d >{shlex.quote(place)} <<'END'"]
        lines += [base64.encodebytes(data).decode() + "END"]
    return "\n".join([*lines, "cd /", "opam update default >/dev/null", ""])


def system(packages: Iterable[str]) -> ast.Run:
    """Install system packages with apt. What cannot be had, alone or besides the others, is told of and left out, so
    that what needs it fails, and nothing else."""
    names = " ".join(map(shlex.quote, sorted(set(packages))))
    return ast.Run(f"# {SYSTEM}\n{_APT.format(names=names)}", network=("host",))


_APT = """\
export DEBIAN_FRONTEND=noninteractive
install='apt-get install -q -y --no-install-recommends'
apt-get update -q -o APT::Update::Error-Mode=any
wanted="{names}"
if ! $install -s $wanted >/dev/null 2>&1; then
  asked=$wanted wanted=
  for one in $asked; do
    if $install -s $wanted $one >/dev/null 2>&1; then wanted="$wanted $one"; else echo "cannot be had: $one"; fi
  done
fi
$install $wanted
apt-get clean
rm -rf /var/lib/apt/lists/*
"""
