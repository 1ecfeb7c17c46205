"""Write table.py anew from spec.lark: `python -m grammar.renew`."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from pprint import pformat
from typing import Any

from grammar.lalr import VERSION
from grammar.parser import grammar_text, read_grammar


def table_text() -> str:
    """The text of table.py for the grammar and the lark that are here."""
    grammar, saved = grammar_text(), io.BytesIO()
    read_grammar(grammar, None).save(saved)
    parts = pickle.loads(saved.getvalue())  # noqa: S301 - lark wrote it just now
    parts["data"]["parser"]["parser"] = _numbered(parts["data"]["parser"]["parser"])
    table = json.dumps(parts, sort_keys=True, separators=(",", ":")).replace("},", "},\n")
    return f'''"""What lark made of spec.lark. `python -m grammar.renew` writes it; do not edit.

It is JSON in a string, as that loads fast where Python may not keep compiled modules too.
"""

LARK = {VERSION!r}
GRAMMAR = {pformat(grammar, width=118)}
TABLE = r"""{table}"""
'''


def _numbered(automaton: dict[str, Any]) -> dict[str, Any]:
    """The same automaton with states and tokens numbered in an order of ours, as lark's changes from run to run."""
    names = automaton["tokens"]
    order = sorted(names, key=lambda token: str(names[token]))
    found = [automaton["start_states"][start] for start in sorted(automaton["start_states"])]
    for state in found:  # grows as new states are met
        actions = automaton["states"][state]
        for token in order:
            action, target = actions.get(token, (1, None))
            if action == 0 and target not in found:
                found.append(target)
    number = {state: index for index, state in enumerate(found)}
    token_number = {token: index for index, token in enumerate(order)}

    def actions_of(state: int) -> dict[int, Any]:
        actions = automaton["states"][state].items()
        return {token_number[token]: (kind, number[arg] if kind == 0 else arg) for token, (kind, arg) in actions}

    return {
        **automaton,
        "tokens": {token_number[token]: names[token] for token in order},
        "states": {number[state]: actions_of(state) for state in found},
        "start_states": {start: number[state] for start, state in automaton["start_states"].items()},
        "end_states": {start: number[state] for start, state in automaton["end_states"].items()},
    }


if __name__ == "__main__":
    Path(__file__).with_name("table.py").write_text(table_text(), encoding="utf-8")
