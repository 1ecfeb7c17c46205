"""Python files that define a `workflow`. Who has none of them need not import this."""

from __future__ import annotations

import contextlib
import linecache
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType

from grammar.ast import At, Spec, Workflow
from grammar.check import check
from grammar.place import PlacedError
from grammar.python import MARK
from grammar.source import Source
from system.errors import StepwoodError

NAME = "workflow"
"""What such a file must define."""


def evaluated(source: Source) -> Spec | Workflow:
    """The `workflow` that Python makes, a Workflow or a Spec.

    The file runs as a module whose folder comes first on the path; what it prints goes to standard error. SpecError
    where it raises something or defines no workflow, with the line.
    """
    linecache.checkcache(source.file)
    module = ModuleType(f"{NAME} of {source.file}")
    module.__dict__.update({MARK: True, "__file__": source.file})
    try:
        code = compile(source.text.encode("utf-8", "surrogateescape"), source.file, "exec", dont_inherit=True)
    except SyntaxError as error:
        at = At(error.lineno or 1, error.offset or 1)
        raise source.error(at, f"{type(error).__name__}: {error.msg}") from error
    except ValueError as error:
        raise source.error(At(1, 1), str(error)) from error
    with _beside(source.folder, module), contextlib.redirect_stdout(sys.stderr):
        try:
            exec(code, module.__dict__)  # noqa: S102 - that is what is asked for
        except StepwoodError:
            raise
        except (Exception, SystemExit) as error:
            raise source.error(_place(source, error), f"{type(error).__name__}: {error}") from error
    found = module.__dict__.get(NAME)
    if isinstance(found, Spec):
        return checked(found, source)
    if isinstance(found, Workflow):
        return found
    hint = f"end with `{NAME} = Workflow(job(…), …)`"
    if NAME not in module.__dict__:
        raise source.error(At(1, 1), f"it defines no `{NAME}`", hint)
    raise source.error(At(1, 1), f"`{NAME}` is a {type(found).__name__}, and no Workflow or Spec", hint)


def checked(spec: Spec, source: Source) -> Spec:
    """A spec whose builds are known where they are named, as the parser has seen to in a text."""
    try:
        check(spec)
    except PlacedError as error:
        raise source.placed(error) from None
    return spec


@contextlib.contextmanager
def _beside(folder: str, module: ModuleType) -> Iterator[None]:
    """While a file runs: modules beside it can be imported, and another file's of the same name are not meant."""
    before, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, folder)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        yield
    finally:
        sys.path[:] = path
        for name in sys.modules.keys() - before:
            file = getattr(sys.modules[name], "__file__", None)
            if name == module.__name__ or (file is not None and file.startswith(f"{folder}/")):
                del sys.modules[name]


def _place(source: Source, error: BaseException) -> At:
    """The line of the file that led to an error."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == source.file]
    return At(lines[-1].lineno or 1, (lines[-1].colno or 0) + 1) if lines else At(1, 1)
