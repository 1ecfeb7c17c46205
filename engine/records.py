"""The index's rows as values, and how they cross to SQLite and to a snapshot's meta.json and back."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.outcome import Built, Cancelled, Cause, Failed, Name, Outcome, Skipped
from engine.step import Base, Config, Ids, Named, Step, StepId, User

Fields = Sequence[tuple[str, object]]
"""What a step's id is made of, in the order of the walk: a name and a JSON value each."""

META_FORMAT = 1
ESCAPED = "\ufffd"
"""The replacement character, as a mark before a text that had to be escaped."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step that the index knows. `first_seen` is None where only the store knew it and did not say when."""

    id: StepId
    kind: str
    op: str
    first_seen: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a step, or why there was none.

    `number` counts a step's tries in one batch from 1. `exit` is None unless a command ran to its end.
    `bytes` is what the step added to the store. `log` is a path from the store's folder.
    """

    step: StepId
    number: int
    started: float
    seconds: float
    outcome: Name
    exit: int | None = None
    cause: Cause | None = None
    message: str = ""
    bytes: int | None = None
    peak_memory: int | None = None
    log: str | None = None

    @classmethod
    def of(cls, step: StepId, outcome: Outcome, *, started: float, number: int = 1, log: str | None = None) -> Attempt:
        """The row for `outcome`. A skipped step's message is the id of the step that failed."""
        match outcome:
            case Built(seconds, size, peak_memory):
                return cls(
                    step, number, started, seconds, "built", exit=0, bytes=size, peak_memory=peak_memory, log=log
                )
            case Failed(status, cause, seconds, message):
                return cls(step, number, started, seconds, "failed", status, cause, message, log=log)
            case Skipped(because):
                return cls(step, number, started, 0.0, "skipped", message=because)
            case Cancelled():
                return cls(step, number, started, 0.0, "cancelled", cause="cancelled", log=log)
            case _:
                return cls(step, number, started, 0.0, "cached")


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a batch; `outcome` is None while it runs, and for ever where its process died."""

    id: int
    batch: str
    name: str
    final: StepId
    outcome: Name | None
    position: int
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """How many distinct steps of a batch ended how."""

    built: int = 0
    cached: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds that a run takes at most, in half of all cases and in nine of ten."""

    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Batch:
    """One run of `build`; `finished` and `outcome` are None while it runs, and for ever where its process died.

    `predicted` is None where nothing was known of its steps.
    """

    id: str
    started: float
    finished: float | None
    outcome: Name | None
    jobs: int
    steps: int
    command: str
    predicted: Prediction | None
    totals: Totals


@dataclass(frozen=True, slots=True)
class Flaky:
    """A step that has failed by itself and has passed: how often each, by which causes, and when it last ran."""

    step: StepId
    op: str
    failed: int
    built: int
    causes: str
    last: float


@dataclass(frozen=True, slots=True)
class Pin:
    """What a reference was at the time `taken`; see `engine.step.Base` for the others."""

    reference: str
    digest: str
    config: Config
    source: str
    taken: float
    kind: str = "base"


@dataclass(frozen=True, slots=True)
class FileStamp:
    """A file's path and what changes when its content does."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int

    @classmethod
    def of(cls, path: str, stat: os.stat_result) -> FileStamp:
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns)

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """All but the path as SQLite keeps them, in the order of its columns."""
        return signed(self.size), signed(self.mtime_ns), signed(self.inode), signed(self.ctime_ns)


@dataclass(frozen=True, slots=True)
class Record:
    """All that a snapshot's meta.json tells the index."""

    step: StepRow
    inputs: tuple[StepId, ...]
    fields: Fields
    attempt: Attempt | None = None
    pin: Pin | None = None


def text(value: str) -> str:
    """`value` as SQLite can keep it: lone surrogates, which stand in a name that is not UTF-8, are escaped.

    Such a text gets `ESCAPED` in front, its backslashes are doubled, and a byte XX is `\\udcXX`. A text that
    begins with `ESCAPED` by itself is treated alike, so that `plain` gives each back exactly. (A blob of the
    bytes would do too, but Datasette cannot show one in a view.)
    """
    if not value.startswith(ESCAPED):
        try:
            value.encode()
            return value
        except UnicodeEncodeError:
            pass
    return ESCAPED + value.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode()


def plain(value: object) -> object:
    """What `text` was given; any other value as it is."""
    if isinstance(value, str) and value.startswith(ESCAPED):
        return re.sub(r"\\(?:\\|u([0-9a-f]{4}))", _unescaped, value.removeprefix(ESCAPED))
    return value


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else "\\"


def signed(number: int) -> int:
    """`number` modulo 2^64 as SQLite's signed integer: inodes of network filesystems and far dates go beyond it."""
    return (number + 2**63) % 2**64 - 2**63


def config_to_json(config: Config) -> dict[str, object]:
    match config.user:
        case Ids(uid, gid):
            user: dict[str, object] = {"uid": uid, "gid": gid}
        case Named(name):
            user = {"name": name}
    return {
        "env": [list(pair) for pair in config.env],
        "user": user,
        "workdir": config.workdir,
        "platform": config.platform,
    }


def config_from_json(value: object) -> Config:
    """The inverse of `config_to_json`; ValueError for anything else."""
    match value:
        case {"env": list(pairs), "user": user_value, "workdir": str(workdir), "platform": str(platform)}:
            env = tuple((name, str(content)) for name, content in map(_pair, pairs))
        case _:
            raise ValueError("its base's config is not one")
    user: User
    match user_value:
        case {"uid": int(uid), "gid": int(gid)}:
            user = Ids(uid, gid)
        case {"name": str(name)}:
            user = Named(name)
        case _:
            raise ValueError("its base's user is not one")
    return Config(env, user, workdir, platform)


def to_meta(step: Step, fields: Fields, attempt: Attempt) -> dict[str, object]:
    """What a snapshot's meta.json says, so that the index can be rebuilt from it; `from_meta` reads it."""
    meta: dict[str, object] = {
        "format": META_FORMAT,
        "id": step.id,
        "kind": step.kind,
        "op": step.op,
        "inputs": list(step.inputs),
        "fields": [list(field) for field in fields],
        "attempt": attempt.number,
        **{name: getattr(attempt, name) for name in ("started", "seconds", "exit", "bytes", "peak_memory", "log")},
    }
    if isinstance(step.action, Base):
        base = step.action
        meta["base"] = {
            "reference": base.reference,
            "digest": base.digest,
            "config": config_to_json(base.config),
            "source": base.source,
        }
    return meta


def from_meta(meta: Mapping[str, object]) -> Record:
    """Read what `to_meta` wrote. Without a start or a duration there is no attempt, without a base no pin.

    ValueError says what is wrong with a meta.json that has no step in it.
    """
    match meta:
        case {"id": str(id), "kind": str(kind), "op": str(op), "inputs": list(inputs)}:
            pass
        case _:
            raise ValueError("it lacks id, kind, op or inputs")
    if meta.get("format") != META_FORMAT:
        raise ValueError(f"its format is {meta.get('format')}, not {META_FORMAT}")
    if not all(isinstance(one, str) and re.fullmatch(r"[0-9a-f]{64}", one) for one in (id, *inputs)):
        raise ValueError("its id or an input is not a step id")
    fields = meta.get("fields", [])
    if not isinstance(fields, list):
        raise ValueError("its fields are not a list")
    started, seconds = _number(meta.get("started")), _number(meta.get("seconds"))
    attempt = None
    if started is not None and seconds is not None:
        log = meta.get("log")
        attempt = Attempt(
            step=id,
            number=_whole(meta.get("attempt")) or 1,
            started=started,
            seconds=seconds,
            outcome="built",
            exit=_whole(meta.get("exit")),
            bytes=_whole(meta.get("bytes")),
            peak_memory=_whole(meta.get("peak_memory")),
            log=log if isinstance(log, str) else None,
        )
    pin = None
    match meta.get("base"):
        case {"reference": str(reference), "digest": str(digest), "config": config, "source": str(source)}:
            pin = Pin(reference, digest, config_from_json(config), source, started or 0.0)
    return Record(StepRow(id, kind, op, started), tuple(inputs), [_pair(field) for field in fields], attempt, pin)


def read_metas(metas: Iterable[Mapping[str, object]]) -> tuple[list[Record], list[str]]:
    """The records of all snapshots whose inputs are all there, and a line for each that is left out."""
    records: dict[StepId, Record] = {}
    messages = []
    for meta in metas:
        try:
            record = from_meta(meta)
        except ValueError as error:
            messages.append(f"snapshot {meta.get('id', 'without an id')}: meta.json is not usable: {error}")
        else:
            records[record.step.id] = record
    while gone := [record for record in records.values() if not records.keys() >= set(record.inputs)]:
        for record in gone:
            del records[record.step.id]
            messages.append(f"snapshot {record.step.id}: an input is gone")
    return list(records.values()), messages


def fields_from_json(value: str) -> list[tuple[str, object]]:
    return [_pair(field) for field in json.loads(value)]


def _pair(value: object) -> tuple[str, object]:
    match value:
        case [str(name), content]:
            return name, content
        case _:
            raise ValueError("a field is not a name and a value")


def _number(value: object) -> float | None:
    """A finite number, or None: JSON holds NaN and infinities that SQLite makes NULL."""
    return float(value) if isinstance(value, int | float) and abs(value) < 2**63 and math.isfinite(value) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and abs(value) < 2**63 else None
