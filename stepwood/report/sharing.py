"""What a page of shared steps holds: the document of `dedup` in columns, steps by number. Pure."""

from __future__ import annotations

from engine.analysis.report import Report, as_json
from engine.words import counted
from stepwood.report.plans import steps


def title(report: Report) -> str:
    jobs = len(report.dag.plans)
    return f"What {counted(jobs, 'job')} {'shares' if jobs == 1 else 'share'}"


def document(report: Report) -> dict[str, object]:
    """The document that docs/reference/pages.md describes."""
    dag = report.dag
    left = ("version", "branches", "near_misses", "reordering")  # the first is said here, and others as columns
    return {
        "version": 1,
        "kind": "dedup",
        **steps(dag),
        "seconds": [report.seconds.get(id) for id in dag.ids],
        "bytes": [report.bytes.get(id) for id in dag.ids],
        "sharing": {name: value for name, value in as_json(report).items() if name not in left},
        "near_misses": [
            {
                "rows": [[dag.numbers[id] for id in row] for row in miss.rows],
                "after": miss.after,
                "excess": miss.excess,
                "seconds": report.excess(miss) if report.seconds else None,
                "differs": list(miss.differs),
                "movable": miss.movable,
            }
            for miss in report.near_misses
        ],
    }
