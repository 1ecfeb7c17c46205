"""The solutions of a package solver as jobs: an item is a package version with the closure of its dependencies.

The document is `{"jobs": [{"packages": [name.version], "deps": [[index into packages]]}]}`; other keys are not read.
Without its closure a package version would not do as an item, for what it needs differs from job to job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine.analysis.jobs import Jobs


def read(document: Mapping[str, object]) -> Jobs:
    """Jobs in the document's order; each takes its packages as they come, what one depends on before it.

    Raises ValueError that names what is not as described above, or a cycle of dependencies.
    """
    solutions = document.get("jobs")
    if not isinstance(solutions, list):
        raise ValueError("jobs: not a list")
    found = []
    for number, solution in enumerate(solutions):
        where = f"jobs[{number}]"
        if not isinstance(solution, dict):
            raise ValueError(f"{where}: not an object")
        packages = _packages(where, solution.get("packages"))
        found.append((packages, _deps(where, solution.get("deps"), len(packages))))
    return jobs(found)


def jobs(solutions: Iterable[tuple[Sequence[str], Sequence[Sequence[int]]]]) -> Jobs:
    """Of solutions that are known to be as described above: packages and deps each, none of them twice. Raises
    ValueError for a cycle."""
    table = _Table()
    found = [table.job(f"jobs[{number}]", *solution) for number, solution in enumerate(solutions)]
    return Jobs(table.names, table.needs, found)


class _Table:
    """Gives the same number to the same package version with the same dependencies, which are numbers themselves."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.needs: list[tuple[int, ...]] = []
        self._numbers: dict[tuple[str, tuple[int, ...]], int] = {}

    def job(self, where: str, packages: Sequence[str], deps: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """One loop, as of whole repositories there are hundreds of thousands of deps."""
        items: list[int | None] = [None] * len(packages)
        order: list[int] = []
        entered: set[int] = set()
        todo = list(reversed(range(len(packages))))
        while todo:
            index = todo[-1]
            if items[index] is not None:
                todo.pop()
                continue
            needs: list[int] = []
            missing: list[int] = []
            for dep in deps[index]:
                item = items[dep]
                if item is None:
                    missing.append(dep)
                else:
                    needs.append(item)
            if not missing:
                items[index] = item = self._item(packages[index], tuple(sorted(needs)))
                order.append(item)
            elif index in entered:
                raise ValueError(f"{where}: {packages[index]} depends on itself")
            else:
                entered.add(index)
                todo += reversed(missing)
        return tuple(order)

    def _item(self, package: str, needs: tuple[int, ...]) -> int:
        number = self._numbers.setdefault((package, needs), len(self.names))
        if number == len(self.names):
            self.names.append(package)
            self.needs.append(needs)
        return number


def _packages(where: str, given: object) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(package, str) for package in given):
        raise ValueError(f"{where}.packages: not a list of strings")
    if len(set(given)) < len(given):
        raise ValueError(f"{where}.packages: one stands twice")
    return given


def _deps(where: str, given: object, count: int) -> list[list[int]]:
    if not isinstance(given, list) or len(given) != count:
        raise ValueError(f"{where}.deps: not a list as long as packages")
    for index, deps in enumerate(given):
        if not isinstance(deps, list) or not all(type(dep) is int and 0 <= dep < count for dep in deps):
            raise ValueError(f"{where}.deps[{index}]: not a list of indexes into packages")
    return [list(dict.fromkeys(deps)) for deps in given]
