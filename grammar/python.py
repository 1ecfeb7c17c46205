"""The spec and workflow languages in Python: a function for each form, which makes the same tree as its text.

What a text would say is said with the same words, and texts hold what they would hold: `%{NAME}` stands for a
parameter or an axis of a workflow, and `%%{` for `%{`. Each part knows the line of Python that made it, so a mistake
that is found later is told with that line. What is wrong at once raises SpecError.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import TypeVar, cast, get_args

from grammar import ast
from grammar.ast import At
from grammar.builder import HOLE, duration, exit_status, pattern, tries, user_id
from grammar.lexer import Token, canonical
from grammar.place import PlacedError, did_you_mean, shown
from system.errors import SpecError

MARK = "__stepwood__"
"""The name in a module's globals that says: places are lines of this file."""

T = TypeVar("T")
Base = str | ast.NamedBuild | ast.FromBuild | ast.FromMerge
"""What a spec starts from: a base by its name, a build of the workflow, or a union of several."""
Matrix = Mapping[str, Sequence[str]]
"""Axes: a name, and the values that it takes."""


class _Form(type):
    """Of a class that stands for one of the tree, to be called and to annotate with: what it makes is of that one."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__bases__[0])


class Spec(ast.Spec, metaclass=_Form):
    """`((build …)* (from BASE) op*)`: a job's body, or a build's. `builds` are nested: only this spec sees them."""

    __slots__ = ()

    def __new__(cls, base: Base, *ops: ast.Op, builds: Iterable[ast.NamedBuild] = ()) -> Spec:
        at, nested = _at(), []
        for one in builds:
            if one.matrix is not None:
                raise _wrong(f"build {shown(one.name)} is nested, and has a matrix")
            nested.append(ast.Build(one.name, one.spec, one.at))
        found: str | ast.FromBuild | ast.FromMerge
        match base:
            case ast.NamedBuild(name=name):
                found = ast.FromBuild(name, at)
            case ast.FromBuild() | ast.FromMerge():
                found = base
            case _:
                found = _text(base, "a base")
        for op in ops:
            if not isinstance(op, get_args(ast.Op)):
                raise _wrong(f"a spec has ops after its base, not {shown(repr(op))}", "run, copy, env, … make ops")
        return cast(Spec, ast.Spec(tuple(nested), found, ops, at))


class Workflow(ast.Workflow, metaclass=_Form):
    """`(workflow item*)`: jobs, and what they share, in order: a name is known to what stands after it."""

    __slots__ = ()

    def __new__(cls, *items: ast.Item) -> Workflow:
        for item in items:
            if not isinstance(item, get_args(ast.Item)):
                raise _wrong(f"a workflow has items, not {shown(repr(item))}", "job, build, param, include make items")
        return cast(Workflow, ast.Workflow(items, _at()))


def job(
    name: str,
    spec: ast.Spec,
    *,
    matrix: Matrix | None = None,
    exclude: Iterable[Mapping[str, str]] = (),
    labels: Mapping[str, str] | None = None,
    priority: ast.Priority = "normal",
) -> ast.Job:
    """`(job NAME …)`: a job, or one for each combination of a matrix but those that match a whole `exclude`."""
    if priority not in get_args(ast.Priority):
        raise _wrong(f"unknown priority {shown(str(priority))}", did_you_mean(str(priority), get_args(ast.Priority)))
    pairs = _pairs(labels or {}, "a label")
    return ast.Job(_text(name, "a job's name"), _spec(spec), _matrix(matrix, exclude), pairs, priority, _at())


def build(
    name: str, spec: ast.Spec, *, matrix: Matrix | None = None, exclude: Iterable[Mapping[str, str]] = ()
) -> ast.NamedBuild:
    """`(build NAME …)`: built for what names it below, not for itself. It can be the base of a `Spec`, or the `source`
    of a `copy`; one without a matrix may be nested in a `Spec`."""
    return ast.NamedBuild(_text(name, "a build's name"), _spec(spec), _matrix(matrix, exclude), _at())


def built(name: str) -> ast.FromBuild:
    """A build by its name, as where that has a `%{NAME}` in it."""
    return ast.FromBuild(_text(name, "a build's name"), _at())


def merge(one: Base, other: Base, *more: Base) -> ast.FromMerge:
    """`(from (merge A B …))`: the union of builds, as a base."""
    return ast.FromMerge(tuple(_named(each) for each in (one, other, *more)), _at())


def param(name: str, value: str | None = None) -> ast.Param:
    """`(param NAME VALUE?)`: a name for a text, `%{NAME}`; what it is unless `--set` says otherwise."""
    return ast.Param(_text(name, "a parameter's name"), None if value is None else _text(value, "a value"), _at())


def include(path: str) -> ast.Include:
    """`(include PATH)`: another workflow's items, text or Python, in this place; relative to this file."""
    return ast.Include(_text(path, "a path"), _at())


def run(
    command: str,
    *,
    cache: ast.Mount | Iterable[ast.Mount] = (),
    network: str | Iterable[str] = (),
    secrets: ast.Mount | Iterable[ast.Mount] = (),
    retry: ast.Retry | None = None,
    timeout: int | str | None = None,
    silence: int | str | None = None,
) -> ast.Run:
    """`(run … (shell COMMAND))`: one command in a sandbox.

    `timeout` and `silence` are in seconds, or a text with a unit: "90s", "30m", "2h".
    """
    return ast.Run(
        _text(command, "a command"),
        _mounts(cache),
        _texts(network, "a network"),
        _mounts(secrets),
        retry,
        _time(timeout),
        _time(silence),
        _at(),
    )


def copy(
    src: str | Iterable[str],
    dst: str,
    *,
    source: ast.NamedBuild | ast.FromBuild | None = None,
    exclude: str | Iterable[str] = (),
) -> ast.Copy:
    """`(copy (from …)? (src …) (dst …) (exclude …)?)`: files from the file's own folder, or from a build."""
    what = ast.FromContext() if source is None else _named(source)
    return ast.Copy(_texts(src, "a source"), _text(dst, "a destination"), what, _texts(exclude, "a name"), _at())


def env(name: str, value: str) -> ast.Env:
    """`(env NAME VALUE)`: an environment variable of the runs that follow."""
    return ast.Env(_text(name, "a variable's name"), _text(value, "a variable's value"), _at())


def workdir(path: str) -> ast.Workdir:
    """`(workdir DIR)`: the working directory of what follows."""
    return ast.Workdir(_text(path, "a folder"), _at())


def shell(*argv: str) -> ast.Shell:
    """`(shell ARG…)`: the argv that precedes a command, from here on."""
    return ast.Shell(_texts(argv, "an argument"), _at())


def user(name: str | None = None, *, uid: int | str | None = None, gid: int | str | None = None) -> ast.Op:
    """`(user (name S))` or `(user (uid N) (gid N))`: who runs and owns what follows."""
    if name is not None and uid is None and gid is None:
        return ast.UserName(_text(name, "a user's name"), _at())
    if name is not None or uid is None or gid is None:
        raise _wrong("a user is a name, or a uid and a gid")
    return ast.UserIds(_number(uid, user_id), _number(gid, user_id), _at())


def comment(text: str) -> ast.Comment:
    """`(comment TEXT)`: for people; it makes no step and is in no id."""
    return ast.Comment(_text(text, "a comment"), _at())


def mount(id: str, target: str, options: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> ast.Mount:
    """`(ID (target P) (buildkit_options …)?)`: a cache or a secret of a `run`."""
    pairs = options.items() if isinstance(options, Mapping) else options
    texts = tuple((_text(key, "an option"), _text(value, "an option")) for key, value in pairs)
    return ast.Mount(_text(id, "an id"), _text(target, "a target"), texts, _at())


def retry(
    *, attempts: int | str | None = None, exits: int | str | Iterable[int | str] = (), logs: str | Iterable[str] = ()
) -> ast.Retry:
    """`(retry (attempts N)? ((exit N…) | (log REGEX))…)`: failures of a `run` that are tried again."""
    each = [exits] if isinstance(exits, (int, str)) else exits
    patterns = _texts(logs, "a pattern")
    for one in patterns:
        if HOLE not in one:
            _read(pattern, one)
    return ast.Retry(
        None if attempts is None else _number(attempts, tries),
        tuple(_number(status, exit_status) for status in each),
        patterns,
    )


def _matrix(matrix: Matrix | None, exclude: Iterable[Mapping[str, str]]) -> ast.Matrix | None:
    excludes = tuple(_pairs(pairs, "a value of an axis") for pairs in exclude)
    if matrix is None:
        if excludes:
            raise _wrong("an exclude without a matrix")
        return None
    axes = []
    for name, values in matrix.items():
        texts = _texts(values, "a value of an axis")
        if not texts:
            raise _wrong(f"axis {shown(str(name))} has no values")
        axes.append(ast.Axis(_text(name, "an axis"), texts, _at()))
    if not axes:
        raise _wrong("a matrix without an axis")
    return ast.Matrix(tuple(axes), excludes, _at())


def _pairs(pairs: Mapping[str, str], what: str) -> tuple[ast.Pair, ...]:
    return tuple(ast.Pair(_text(name, "a name"), _text(value, what), _at()) for name, value in pairs.items())


def _named(base: Base) -> ast.FromBuild:
    match base:
        case ast.NamedBuild(name=name):
            return ast.FromBuild(name, _at())
        case ast.FromBuild():
            return base
    raise _wrong(f"a build is expected, not {shown(repr(base))}", "`build` makes one, and `built` names one")


def _spec(spec: object) -> ast.Spec:
    if not isinstance(spec, ast.Spec):
        raise _wrong(f"a Spec is expected, not {shown(repr(spec))}")
    return spec


def _mounts(mounts: ast.Mount | Iterable[ast.Mount]) -> tuple[ast.Mount, ...]:
    found = (mounts,) if isinstance(mounts, ast.Mount) else tuple(mounts)
    for one in found:
        if not isinstance(one, ast.Mount):
            raise _wrong(f"a mount is expected, not {shown(repr(one))}", "`mount` makes one")
    return found


def _texts(texts: str | Iterable[str], what: str) -> tuple[str, ...]:
    return tuple(_text(text, what) for text in ([texts] if isinstance(texts, str) else texts))


def _text(text: object, what: str) -> str:
    """A text as an atom holds it: bytes that are not UTF-8 are lone surrogates."""
    if not isinstance(text, str):
        raise _wrong(f"{what} must be text, not {shown(repr(text))}")
    try:
        return canonical(text)
    except UnicodeEncodeError as error:
        raise _wrong(f"U+{ord(text[error.start]):04X} is no character") from None


def _time(time: int | str | None) -> int | str | None:
    """Seconds, or a text in which some are still to be filled in."""
    return None if time is None else _number(f"{time}s" if isinstance(time, int) else time, duration)


def _number(number: int | str, read: Callable[[Token], int]) -> int | str:
    """What `read` makes of a number, or the text in which it is still to be filled in."""
    text = str(number) if isinstance(number, int) and not isinstance(number, bool) else _text(number, "a number")
    return text if HOLE in text else _read(read, text)


def _read(read: Callable[[Token], T], text: str) -> T:
    try:
        return read(Token("ATOM", text, 1, 1))
    except PlacedError as error:
        raise _wrong(error.message, error.hint) from None


def _wrong(message: str, hint: str | None = None) -> SpecError:
    file, line = _caller()
    text = linecache.getline(file, line).rstrip("\n")
    return SpecError(message, file=file, line=line, column=_column(text), text=text or None, hint=hint)


def _at() -> At:
    file, line = _caller()
    return At(line, _column(linecache.getline(file, line)))


def _column(text: str) -> int:
    return len(text) - len(text.lstrip()) + 1


def _caller() -> tuple[str, int]:
    """The line that asks for a part: in the file that is read as a workflow, though a helper elsewhere may do the
    asking; else just outside here."""
    frame: FrameType | None = sys._getframe(1)
    outside: tuple[str, int] | None = None
    while frame is not None:
        found = frame.f_code.co_filename, frame.f_lineno
        if MARK in frame.f_globals:
            return found
        if outside is None and frame.f_globals is not globals():
            outside = found
        frame = frame.f_back
    return outside or ("<python>", 1)
