"""From the FILEs of a command line to named jobs: specs, and the jobs of workflows."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from engine.plan import Job
from grammar import parser
from grammar.ast import Spec, Workflow
from grammar.source import Body, Source
from stepwood.config import EVERYTHING, STDIN, Choice
from system.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from grammar.expand import Jobs


@dataclass(frozen=True, slots=True)
class Asked:
    """The jobs that are wanted, and whether one of the files is a workflow."""

    jobs: Sequence[Job]
    workflow: bool


def read(file: str) -> Source:
    """The text of a FILE; `-` is standard input, which stands in the working directory."""
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    folder = "" if file == STDIN else os.path.dirname(file)
    return Source("<stdin>" if file == STDIN else file, parser.decode(data), os.path.abspath(folder))


def is_python(source: Source) -> bool:
    """Whether a file is Python that makes a tree, and not its text."""
    return source.file.endswith(".py")


def tree(source: Source) -> Spec | Workflow:
    """What a file says, in whichever language. SpecError with the place of the first mistake."""
    if not is_python(source):
        return parser.parse_any(source)
    from stepwood.pyfile import evaluated

    return evaluated(source)


def included(source: Source, path: str) -> Source:
    """The text that `source` includes as `path`."""
    beside = "" if os.path.isabs(source.file) else os.path.relpath(source.folder)
    return read(os.path.normpath(os.path.join(beside or source.folder, path)))


def expanded(source: Source, workflow: Workflow, values: Mapping[str, str], *, lenient: bool = False) -> Jobs:
    """The jobs of a workflow whose includes are files."""
    from grammar.expand import expand

    return expand(source, workflow, tree, included, values, lenient=lenient)


def jobs(files: Sequence[str], choice: Choice = EVERYTHING) -> Asked:
    """The jobs of all files, in order; each distinct text is parsed once."""
    return gathered(_parsed(files), choice)


def _parsed(files: Sequence[str]) -> Iterator[tuple[str, Source, Spec | Workflow]]:
    """What each file says, and how a spec in it is called."""
    known: dict[str, Spec] = {}
    for file, name in zip(files, _names(files), strict=True):
        source = read(file)
        python = is_python(source)  # of which one text may mean two things, by what it imports
        what = (not python and known.get(source.text)) or tree(source)
        if isinstance(what, Spec) and not python:
            known[source.text] = what
        yield name, source, what


def gathered(trees: Iterable[tuple[str, Source, Spec | Workflow]], choice: Choice = EVERYTHING) -> Asked:
    """The jobs of trees, in order; each comes with the name of the job that it is, where it is a spec."""
    workflow = False
    found: list[Job] = []
    params: dict[str, None] = {}
    for name, source, what in trees:
        if isinstance(what, Spec):
            found.append(Job(name, Body(what, source)))
            continue
        workflow = True
        of = expanded(source, what, choice.values)
        params |= dict.fromkeys(of.params)
        found += [Job(job.name, job.body, of.builds, job.priority, job.labels) for job in of.jobs]
    _check_values(choice.values, params)
    for name, count in Counter(job.name for job in found).items():
        if count > 1:
            raise InputError(f'{count} of these files have a job called "{name}"', hint="run them apart, or rename one")
    return Asked(_chosen(found, choice.only), workflow)


def _check_values(values: Iterable[str], params: Iterable[str]) -> None:
    params = list(params)
    for name in values:
        if name not in params:
            hint = did_you_mean(name, params, f"parameters here: {', '.join(params) or 'none'}")
            raise InputError(f'--set: no parameter is called "{name}"', hint=hint)


def _chosen(found: list[Job], only: Sequence[str]) -> list[Job]:
    """The jobs that one of `only` matches."""
    if not only:
        return found
    kept: set[str] = set()
    for pattern in only:
        matched = {job.name for job in found if _matches(pattern, job)}
        if not matched:
            words = {job.name for job in found}
            words |= {f"{key}={value}" for job in found for key, value in job.labels.items()}
            hint = did_you_mean(pattern, sorted(words), "`stepwood plan` lists the jobs")
            raise InputError(f'--only: no job matches "{pattern}"', hint=hint)
        kept |= matched
    return [job for job in found if job.name in kept]


def _matches(pattern: str, job: Job) -> bool:
    key, equals, value = pattern.partition("=")
    if equals and key in job.labels and fnmatchcase(job.labels[key], value):
        return True
    return fnmatchcase(job.name, pattern)


def _names(files: Sequence[str]) -> list[str]:
    short = ["stdin" if file == STDIN else Path(file).stem for file in files]
    twice = {name for name, count in Counter(short).items() if count > 1}
    names = [os.path.splitext(file)[0] if name in twice else name for file, name in zip(files, short, strict=True)]
    twice = {name for name, count in Counter(names).items() if count > 1}
    names = [file if name in twice else name for file, name in zip(files, names, strict=True)]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{name} is given {count} times")
    return names
