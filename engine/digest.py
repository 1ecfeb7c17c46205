"""Step ids: one canonical walk that both hashes a step and explains its id, so that the two cannot drift.

The walk gives (name, value) pairs of strings, numbers, booleans and lists of them. The id is the SHA-256 of
their JSON without blanks, headed by the version and the kind; JSON is unambiguous and has one form for each value.
Not in the walk, on purpose: secret values, cache names and contents, time-outs, retries, limits,
priorities, host names, the store, the sandbox, and the text of the op.
"""

from __future__ import annotations

import hashlib
import json

from engine.step import Action, Base, Copy, FromContext, FromStep, Ids, Merge, Named, Run, StepId, User, kind

VERSION = "stepwood-step-1"
"""Changes when equal steps would get other ids; every snapshot made before is then built anew."""

Fields = list[tuple[str, object]]


def fields(action: Action) -> Fields:
    """What the step's id is made of, in order."""
    match action:
        case Base(digest=digest, config=config):
            return [
                ("digest", digest),
                ("env", [list(pair) for pair in config.env]),
                ("user", _user(config.user)),
                ("workdir", config.workdir),
                ("platform", config.platform),
            ]
        case Run():
            return [
                ("input", action.input),
                ("command", action.command),
                ("shell", list(action.shell)),
                ("cwd", action.cwd),
                ("env", [list(pair) for pair in action.env]),
                ("user", _user(action.user)),
                ("network", list(action.network)),
                ("caches", sorted(cache.target for cache in action.caches)),
                ("secrets", sorted([secret.name, secret.target] for secret in action.secrets)),
            ]
        case Copy():
            return [
                ("input", action.input),
                *_source(action.source),
                ("sources", list(action.sources)),
                ("destination", action.destination),
                ("exclude", sorted(set(action.exclude))),
                ("owner", _user(action.owner)),
            ]
        case Merge(inputs=inputs):
            return [("inputs", list(inputs))]


_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def step_id(action: Action) -> StepId:
    """The id of a step: 64 hexadecimal digits."""
    text = _ENCODER.encode([VERSION, kind(action), fields(action)])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _source(source: FromContext | FromStep) -> Fields:
    match source:
        case FromContext(manifest=manifest):
            return [("files", manifest.digest)]
        case FromStep(step=step):
            return [("from", step)]


def _user(user: User) -> list[object]:
    match user:
        case Ids(uid=uid, gid=gid):
            return ["ids", uid, gid]
        case Named(name=name):
            return ["name", name]
