"""Changes to a tree, as a shell script and as a plain model of what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hypothesis import strategies as st

from tests.stores.workshop import Tree

_FUNCTIONS = """cd /w
make() { if [ ! -d "$1" ] || [ -L "$1" ]; then rm -rf "$1"; mkdir "$1"; fi; }
"""


@dataclass(frozen=True)
class Write:
    """A new file, in the place of whatever is there."""

    path: str
    text: str


@dataclass(frozen=True)
class Append:
    """More of a file, if it is one."""

    path: str
    text: str


@dataclass(frozen=True)
class Remove:
    path: str


@dataclass(frozen=True)
class Make:
    """A new, empty folder in the place of whatever is there."""

    path: str


@dataclass(frozen=True)
class Link:
    path: str
    target: str


@dataclass(frozen=True)
class Mode:
    """Another mode of a file or folder, if it is one."""

    path: str
    mode: int


@dataclass(frozen=True)
class Move:
    path: str
    to: str


Op = Write | Append | Remove | Make | Link | Mode | Move


def any_op() -> st.SearchStrategy[Op]:
    path = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)
    text = st.sampled_from(["x", "yy", ""])
    return st.one_of(
        st.builds(Write, path, text),
        st.builds(Append, path, text),
        st.builds(Remove, path),
        st.builds(Make, path),
        st.builds(Link, path, st.sampled_from(["a", "/etc", "b/a"])),
        st.builds(Mode, path, st.sampled_from([0o700, 0o755, 0o4711])),
        st.builds(Move, path, path),
    )


def script(ops: Sequence[Op]) -> str:
    """The ops in sh, below /w."""
    return _FUNCTIONS + "\n".join(_line(op) for op in ops)


def _line(op: Op) -> str:
    match op:
        case Write(path=path, text=text):
            return f"{_fresh(path)} echo '{text}' > {path}"
        case Append(path=path, text=text):
            return f"if {_plain(path)} && [ -f {path} ]; then echo '{text}' >> {path}; fi"
        case Remove(path=path):
            return f"if [ -d {_parent(path)} ] && {_plain(_parent(path))}; then rm -rf {path}; fi"
        case Make(path=path):
            return f"{_fresh(path)} mkdir {path}"
        case Link(path=path, target=target):
            return f"{_fresh(path)} ln -s {target} {path}"
        case Mode(path=path, mode=mode):
            return f"if {_plain(path)} && [ -e {path} ]; then chmod {mode:o} {path}; fi"
        case Move(path=path, to=to) if _apart(path, to):
            here = f"{_plain(_parent(path))} && {{ [ -e {path} ] || [ -L {path} ]; }}"
            return f"if {here}; then {_fresh(to)} mv {path} {to}; fi"
        case Move():
            return ":"


def _parents(path: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(path).parents][-2::-1]


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _fresh(path: str) -> str:
    """Folders above a path, and nothing at it."""
    return "".join(f"make {parent}; " for parent in _parents(path)) + f"rm -rf {path};"


def _plain(path: str) -> str:
    """No link in a path."""
    return " && ".join(f"[ ! -L {part} ]" for part in [*_parents(path), path])


def _apart(one: str, other: str) -> bool:
    return not (f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/"))


@dataclass
class Model:
    """A tree in memory."""

    _tree: Tree = field(default_factory=lambda: {".": ("dir", 0o755)})

    def tree(self) -> Tree:
        return dict(self._tree)

    def apply(self, ops: Sequence[Op]) -> None:
        for op in ops:
            self._apply(op)

    def _apply(self, op: Op) -> None:
        match op:
            case Write(path=path, text=text):
                self._fresh(path)
                self._tree[path] = ("file", 0o644, text + "\n")
            case Append(path=path, text=text):
                if self._kind(path) == "file":
                    _, mode, content = self._tree[path]
                    self._tree[path] = ("file", mode, f"{content}{text}\n")
            case Remove(path=path):
                self._remove(path)
            case Make(path=path):
                self._fresh(path)
                self._tree[path] = ("dir", 0o755)
            case Link(path=path, target=target):
                self._fresh(path)
                self._tree[path] = ("link", target)
            case Mode(path=path, mode=mode):
                if self._kind(path) in ("file", "dir"):
                    self._tree[path] = (self._tree[path][0], mode, *self._tree[path][2:])
            case Move(path=path, to=to):
                if _apart(path, to) and path in self._tree:
                    moved = {name: item for name, item in self._tree.items() if f"{name}/".startswith(f"{path}/")}
                    self._fresh(to)
                    self._remove(path)
                    self._tree |= {to + name.removeprefix(path): item for name, item in moved.items()}

    def _kind(self, path: str) -> object:
        return self._tree.get(path, (None,))[0]

    def _remove(self, path: str) -> None:
        for name in [name for name in self._tree if f"{name}/".startswith(f"{path}/")]:
            del self._tree[name]

    def _fresh(self, path: str) -> None:
        for parent in _parents(path):
            if self._kind(parent) != "dir":
                self._remove(parent)
                self._tree[parent] = ("dir", 0o755)
        self._remove(path)
