"""`tar:FILE`: a root filesystem in a tar archive, compressed or not."""

from __future__ import annotations

import time
from pathlib import Path

from engine.inputs import Hashes, hashed
from engine.records import FileStamp
from engine.step import Base
from stepwood.bases.compression import Packed
from stepwood.bases.provider import PLAIN, Draft
from system.errors import InputError


class Archive:
    """Pinned by the SHA-256 of the file. ACLs that `tar --acls` wrote as text are not kept."""

    def pin(self, reference: str, rest: str, hashes: Hashes) -> Base:
        path = Path(rest).resolve()
        now = time.time_ns()
        try:
            (digest,) = hashed([FileStamp.of(str(path), path.stat())], hashes, now).values()
        except OSError as error:
            raise InputError(f"{reference}: {error.strerror}") from error
        return Base(reference, f"sha256:{digest}", PLAIN, f"tar:{path}")

    def fetch(self, base: Base, rest: str, draft: Draft) -> None:
        draft.unpack([Packed(Path(rest), base.reference, base.digest)], whiteouts=False)
