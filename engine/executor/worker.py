"""Materialise one step: a draft, a launch in it, a commit. Runs in a thread of its own; knows nothing of the DAG."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine import digest
from engine.executor import causes, copy
from engine.executor.causes import OomKills
from engine.executor.logs import CHUNK, Log
from engine.executor.watch import Overrun, watch
from engine.outcome import MACHINE, Built, Failed
from engine.records import Attempt, to_meta
from engine.step import Base, Copy, FromStep, Ids, Merge, Policy, Run, Step, User
from sandboxes.sandbox import Command, Sandbox
from stores.store import Draft, Store
from system import launch
from system.errors import InputError, MachineError
from system.helper.client import Helper
from system.launch import Call, Data, Launch, Mount, Root

_LOG = logging.getLogger(__name__)
"""What only `--debug` shows: where an error came from."""

Fetch = Callable[[Base, Root, Path, Helper, int], None]
"""Fill an empty root with a pinned base: base, root, a scratch folder, the helper, where its output goes."""


def no_merge() -> InputError:
    """What is said of a step that no release builds yet."""
    return InputError(
        "a merge cannot be built yet: merging comes next", hint="`plan` and `dedup` know what it would come to"
    )


@dataclass(frozen=True, slots=True)
class Attempted:
    """One try of a step that came to an end of its own, and the log it left."""

    outcome: Built | Failed
    log: str | None
    started: float


@dataclass(frozen=True, slots=True)
class Worker:
    """What a step is materialised with."""

    store: Store
    sandbox: Sandbox
    helper: Helper
    fetch: Fetch
    secrets: Mapping[str, bytes]
    keep_failed: bool = False
    oom: OomKills = field(default_factory=OomKills)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the run is to end: whatever waits for another step then gives up, with `Interrupted`."""

    def attempt(self, step: Step, number: int, listener: Callable[[bytes], object]) -> Attempted:
        """One try, from a fresh draft. What ended it is in the log too.

        Raises `Interrupted`, and what is no `MachineError` or `InputError`.
        """
        log = Log(self.store.folder, f"{step.id}.{uuid.uuid4().hex[:8]}", listener)
        started, begun = time.time(), time.monotonic()
        try:
            with self.store.draft(step.id, step.inputs) as draft:
                ended, overrun = self._fill(step, draft, log)
                seconds = time.monotonic() - begun
                if ended.status or overrun:
                    failed = self._failed(step, ended.status, overrun, seconds, log)
                    if self.keep_failed and not failed.transient:
                        draft.keep()
                    return Attempted(failed, log.path, started)
                built = Built(seconds, None, ended.peak_memory)
                row = Attempt.of(step.id, built, started=started, number=number, log=log.path)
                draft.commit(to_meta(step, digest.fields(step.action), row))
                size = self.store.meta(step.id).get("bytes")
                return Attempted(replace(built, bytes=size if isinstance(size, int) else None), log.path, started)
        except (InputError, MachineError) as error:
            _LOG.debug("%s", step.op, exc_info=error)
            with suppress(MachineError):  # a full disk takes no log either
                log.write(f"stepwood: {error}\n".encode(errors="surrogateescape"))
            failed = Failed(None, causes.of_error(error), time.monotonic() - begun, str(error), error.transient)
            return Attempted(failed, log.path, started)
        finally:
            log.close()

    def _failed(self, step: Step, status: int, overrun: Overrun | None, seconds: float, log: Log) -> Failed:
        """What a command's end means, and whether it may pass by itself."""
        policy, end = step.policy, log.tail(causes.TAIL)
        asked = causes.asks_again(policy, status, end)
        if overrun is not None:
            told = {
                "timeout": f"{policy.timeout} s, the time it has",
                "silence": f"{policy.silence} s without output",
            }
            message = f"stopped after {told[overrun]}"
            log.write(f"stepwood: {message}\n".encode())
            return Failed(None, overrun, seconds, message, asked)
        network = isinstance(step.action, Run) and "host" in step.action.network
        out_of_memory = status == causes.KILLED and self.oom.rose()  # another's failure must not use the count up
        cause = causes.of_exit(status, end, network=network, out_of_memory=out_of_memory)
        return Failed(status, cause, seconds, transient=asked or cause in MACHINE)

    def _fill(self, step: Step, draft: Draft, log: Log) -> tuple[launch.Exit, Overrun | None]:
        match step.action:
            case Base() as base:
                draft.scratch.mkdir()
                with _piped(log) as output:
                    self.fetch(base, draft.root, draft.scratch, self.helper, output)
            case Copy() as action:
                owner = self._resolve(action.owner, self.store.view(action.input))
                view = self.store.view(action.source.step) if isinstance(action.source, FromStep) else None
                with _piped(log) as output:
                    copy.copy(action, draft.root, view, owner, self.helper, output)
            case Run() as run:
                return self._run(run, draft, log, step.policy)
            case Merge():
                raise no_merge()
        return launch.Exit(0, 0, 0.0), None

    def _run(self, run: Run, draft: Draft, log: Log, policy: Policy) -> tuple[launch.Exit, Overrun | None]:
        user = self._resolve(run.user, self.store.view(run.input))
        secrets = [self._secret(secret.name, secret.target, user) for secret in run.secrets]
        with ExitStack() as held:
            caches = []
            for cache in run.caches:
                turn = self.stopping if cache.locked else None
                own = held.enter_context(self.store.cache(cache.name, user.uid, user.gid, locked=turn))
                caches.append(Mount(cache.target, own.root))
            command = Command(
                argv=(*run.shell, run.command),
                env=run.env,
                cwd=run.cwd,
                user=user,
                host_network=run.network == ("host",),
                mounts=(*caches, *secrets),
            )
            how = self.sandbox.launch(command, draft.root, str(draft.scratch))
            return self._start(how, log, policy)

    def _start(self, how: Launch, log: Log, policy: Policy) -> tuple[launch.Exit, Overrun | None]:
        reader, writer = os.pipe()
        try:
            started = self.helper.start(how, None, writer, writer)
        finally:
            os.close(writer)
        try:
            self.store.prepare()
            return watch(started, reader, log, policy)
        finally:
            started.close()
            os.close(reader)

    def _secret(self, name: str, target: str, user: launch.Ids) -> Mount:
        content = self.secrets.get(name)
        if content is None:
            raise InputError(f'no value for the secret "{name}"', hint=f"give one with `--secret {name}=FILE`")
        return Mount(target, Data(content, mode=0o400, uid=user.uid, gid=user.gid), readonly=True)

    def _resolve(self, user: User, root: Root) -> launch.Ids:
        """Whom a user is in a root, by the root's own passwd file. A draft can be mounted only once, so not in that."""
        match user:
            case Ids(uid=uid, gid=gid):
                return launch.Ids(uid, gid)
            case named:
                reader, writer = os.pipe()
                try:
                    call = Launch(Call("resolve_user", (named.name,)), root=root)
                    started = self.helper.start(call, descriptors=[writer])
                finally:
                    os.close(writer)
                try:
                    answer = os.read(reader, 65536).decode().split()
                    started.wait()
                finally:
                    os.close(reader)
                uid, gid, *groups = map(int, answer)
                return launch.Ids(uid, gid, tuple(groups))


class _piped:  # noqa: N801 - used as a context manager only
    """A pipe into a log, drained by a thread while the block runs."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._reader, self._writer = os.pipe()
        self._error: MachineError | None = None
        self._thread = threading.Thread(target=self._drain, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return self._writer

    def __exit__(self, kind: object, *_: object) -> None:
        os.close(self._writer)
        self._thread.join()
        os.close(self._reader)
        if self._error is not None and kind is None:
            raise self._error

    def _drain(self) -> None:
        """What cannot be logged is read all the same, so that no writer waits for ever."""
        try:
            self._log.drain(self._reader)
        except MachineError as error:
            self._error = error
            while os.read(self._reader, CHUNK):
                pass
