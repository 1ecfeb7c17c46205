"""A cause that passes is tried again, and all of it is told and recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.executor import retry
from engine.index import Index
from stepwood import cli
from stepwood.bases import base as bases
from system.errors import RegistryError
from tests.cli.desk import Desk, sh

pytestmark = pytest.mark.root


@pytest.mark.parametrize(("failures", "outcome", "code"), [(2, "built", 0), (3, "failed", 3)])
def test_a_transient_failure_gets_three_tries(
    desk: Desk,
    failures: int,
    outcome: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There is no honest way from outside to have a registry fail twice, so the fetching is replaced."""
    honest = bases.fetch
    left = [RegistryError("the registry is down")] * failures

    def fetch(*arguments: Any) -> None:
        if left:
            raise left.pop()
        honest(*arguments)

    monkeypatch.setattr(bases, "fetch", fetch)
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    desk.write("a.spec", sh("true"))
    monkeypatch.chdir(desk.folder)
    with pytest.raises(SystemExit) as ended:
        cli.main(desk.argv("build", "a.spec", "--json")[3:])
    assert ended.value.code == code
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    retries = [(event["attempt"], event["cause"]) for event in told if event["event"] == "retry"]
    assert retries == [(1, "network"), (2, "network")]
    finish = next(event for event in told if event["event"] == "finish")
    assert (finish["outcome"], finish["attempts"]) == (outcome, 3)
    kinds = [event["event"] for event in told if event.get("id") == finish["id"]]
    assert [kind for kind in kinds if kind != "log"] == ["start", "retry", "retry", "finish"]
    with Index.open(desk.place / "index.db") as index:
        tries = [(one.number, one.outcome, one.cause) for one in index.attempts(finish["id"])]
    assert tries[:2] == [(1, "failed", "network"), (2, "failed", "network")]
    assert tries[2][:2] == (3, outcome)
