"""A made batch, to see how pictures do with many: 5,000 jobs of 50,000 distinct steps."""

from __future__ import annotations

from collections.abc import Iterator

JOBS = 5_000
GROUPS, PARTS = 50, 500
"""Jobs share a trunk, then by group, then by part of a group; what is left is their own."""


def workflow(jobs: int = JOBS) -> str:
    """As text."""
    return f"(workflow\n{''.join(map(_job, range(jobs)))})\n"


def _job(number: int) -> str:
    runs = "".join(f'  (run (shell "{command}"))\n' for command in _commands(number))
    return f"(job package-{number:04} ((from debian) (env LANG C)\n{runs}))\n"


def _commands(number: int) -> Iterator[str]:
    group, part = number % GROUPS, number % PARTS
    yield from (f"apt-get install -y tool-{step}" for step in range(5))
    yield from (f"install library-{group}.{step} --prefix=/usr" for step in range(4))
    yield from (f"configure part-{part}.{step} --with=everything" for step in range(3))
    yield from (f"make -C package-{number:04} target-{step}" for step in range(10 if number % 3 else 9))
