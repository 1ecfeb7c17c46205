"""Every error that Stepwood shows a user, as one tree.

    StepwoodError
    ├── InputError           2    what the user wrote or named is wrong
    │   └── SpecError        2    … at a line and column of a spec
    ├── MachineError         3    the machine failed: store, sandbox, registry, tool
    │   ├── HelperError      3    the helper process died or refused a launch
    │   ├── SandboxError     3    a step's world could not be set up
    │   ├── StoreError       3    a snapshot could not be kept
    │   │   └── StoreBusy    3 t  … because something else holds it just now
    │   ├── OutOfSpace       3    no room on the disk of the store
    │   ├── RegistryError    3 t  an image registry does not answer
    │   └── ToolMissing      3    a program that must be installed is not
    └── Interrupted        130    the user stopped the run

`t` marks the classes whose cause may pass by itself: they are tried again. A failing *build* is not
an error but a value (`engine.outcome.Failed`), with exit code 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

WIDTH = 120
"""Characters of a source line that are shown on either side of a column."""


class StepwoodError(Exception):
    """Base of all errors a user may see: one line that says what is wrong, and a hint what to do next."""

    exit_code: ClassVar[int] = 3
    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class InputError(StepwoodError):
    """A spec, an option or a file that the user named is wrong or missing."""

    exit_code = 2


class SpecError(InputError):
    """A place in a spec that is wrong: `FILE:LINE:COLUMN: message`, the line, a caret, a hint.

    `line` and `column` count from 1; `column` counts characters. `text` is the source line without
    its newline, or None where it is not at hand.
    """

    def __init__(
        self, message: str, *, file: str, line: int, column: int, text: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.file, self.line, self.column, self.text = file, line, column, text

    def __reduce__(self) -> tuple[object, ...]:
        """To be pickled: what is given by keyword, exceptions forget."""
        given = {name: getattr(self, name) for name in ("file", "line", "column", "text", "hint")}
        return partial(type(self), self.message, **given), ()

    def __str__(self) -> str:
        shown = [f"{self.file}:{self.line}:{self.column}: {self.message}"]
        if self.text is not None:
            # A line of megabytes is shown around the column; what would steer a terminal is not shown at all.
            start = max(0, self.column - WIDTH) if len(self.text) > 2 * WIDTH else 0
            text = "".join(
                c if c == "\t" or c.isprintable() else "\ufffd" for c in self.text[start : start + 2 * WIDTH]
            )
            # Tabs are kept, so that the caret stands under the column whatever a tab's width is.
            indent = "".join("\t" if c == "\t" else " " for c in text[: self.column - 1 - start])
            shown += [text, indent + "^"]
        if self.hint is not None:
            shown.append(self.hint)
        return "\n".join(shown)


class MachineError(StepwoodError):
    """The machine failed, not the build."""

    exit_code = 3


class HelperError(MachineError):
    """The helper process died, or a launch could not be handed to it."""


class SandboxError(MachineError):
    """A step's namespaces, mounts or root could not be set up."""


class StoreError(MachineError):
    """A snapshot, a cache or the store itself could not be read or written."""


class StoreBusy(StoreError):
    """Something else holds what this operation needs; it may be free a moment later."""

    transient = True


class OutOfSpace(MachineError):
    """The disk of the store is full, or its inodes or quota are used up."""


class RegistryError(MachineError):
    """An image registry does not answer, or breaks off."""

    transient = True


class ToolMissing(MachineError):
    """A program that this operation needs is not installed."""


class Interrupted(StepwoodError):
    """The user stopped the run; what was built stays."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str | None:
    """The hint for a word that is not known: the one of `known` that it is most like, or else what is to be said."""
    close = closest(word, known)
    return otherwise if close is None else f'did you mean "{close}"?'


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that a word is most like; None where it is like none."""
    from difflib import get_close_matches  # takes 4 ms to import, and most commands have nothing to ask

    return next(iter(get_close_matches(word, list(known), 1)), None)
