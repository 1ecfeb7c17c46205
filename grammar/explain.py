"""What to tell a person about a token that the grammar does not expect there.

All that is needed is on the parser's stack: the parentheses that are open, the words that follow them,
and which tokens would have been right.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from grammar.lexer import Token
from grammar.place import PlacedError, did_you_mean, shown

_SPEC = "((build NAME SPEC)… (from BASE) OP…)"

# How each form is written, by its name in `_names`, or by that of the form around it and its own.
_USAGE = {
    "spec": _SPEC,
    "build": "(build NAME SPEC)",
    "from": "(from BASE)",
    "comment": "(comment TEXT)",
    "workdir": "(workdir DIR)",
    "shell": "(shell ARGUMENT…)",
    "env": "(env NAME VALUE)",
    "user": "(user (uid N) (gid N)) or (user (name NAME))",
    "uid": "(uid N)",
    "gid": "(gid N)",
    "name": "(name NAME)",
    "copy": "(copy (src PATH…) (dst PATH))",
    "copy from": "(from context) or (from (build NAME))",
    "from build": "(build NAME)",
    "from merge": "(merge NAME NAME…)",
    "src": "(src PATH…)",
    "dst": "(dst PATH)",
    "exclude": "(exclude NAME…)",
    "run": "(run (shell COMMAND))",
    "run shell": "(shell COMMAND)",
    "network": "(network NAME…)",
    "cache": "(cache (ID (target DIR))…)",
    "secrets": "(secrets (ID (target FILE))…)",
    "cache ID": "(ID (target DIR))",
    "secrets ID": "(ID (target FILE))",
    "target": "(target PATH)",
    "buildkit_options": "(buildkit_options ((KEY VALUE)…))",
    "options": "((KEY VALUE)…)",
    "KEY": "(KEY VALUE)",
    "workflow": "(workflow ITEM…), an item being a param, an include, a build or a job",
    "param": "(param NAME VALUE) or (param NAME)",
    "include": "(include PATH)",
    "job": "(job NAME (matrix …)? (labels …)? (priority …)? SPEC)",
    "matrix": "(matrix (NAME VALUE…)… (exclude (NAME VALUE)…)…)",
    "AXIS": "(NAME VALUE…)",
    "matrix exclude": "(exclude (NAME VALUE)…)",
    "PAIR": "(NAME VALUE)",
    "labels": "(labels (KEY VALUE)…)",
    "priority": "(priority low|normal|high)",
    "retry": "(retry (attempts N)? (exit N…)… (log REGEX)…)",
    "attempts": "(attempts N)",
    "exit": "(exit N…)",
    "log": "(log REGEX)",
    "timeout": "(timeout N) with N such as 90s, 30m, 2h or 1d",
    "silence": "(silence N) with N such as 90s, 30m, 2h or 1d",
}
_WORKFLOW_ONLY = ("retry", "timeout", "silence")
_HEADS = ("matrix", "labels", "priority")
_OPS = {"COMMENT", "WORKDIR", "SHELL", "ENV", "USER", "COPY", "RUN"}


def explain(token: Token, stack: Sequence[Any], expected: Set[str]) -> PlacedError:
    """The error for `token`; `stack` holds what the parser has not put together, and `expected` was allowed."""
    forms = _open_forms(stack)
    if not forms:
        message, hint = _outside(token, stack)
    else:
        names = _names(forms)
        explained = _bad_value if names[-1] else _bad_word
        message, hint = explained(token, names, expected)
    return PlacedError(token.at, message, hint)


def _open_forms(stack: Sequence[Any]) -> list[list[Any]]:
    """What stands in each form that is open, from the outermost to the innermost."""
    forms: list[list[Any]] = [[]]
    for value in stack:
        match value:
            case Token("LPAR"):
                forms.append([])
            case Token("RPAR"):
                closed = forms.pop()
                forms[-1].append(closed)
            case _:
                forms[-1].append(value)
    return forms[1:]


def _names(forms: list[list[Any]]) -> list[str]:
    """The name of each open form; that of the last is empty where its keyword is what is wrong."""
    names: list[str] = []
    for form in forms:
        word = form[0].value.lower() if form and isinstance(form[0], Token) else ""
        match names:
            case [] | ["workflow", "build"] | [*_, "job"] if word in ("workflow", *_HEADS):
                names.append(word)
            case ["workflow", "build" | "job"] if form is forms[-1] and not form:
                names.append("")
            case [] | [*_, "build" | "job"]:
                names.append("spec")
            case [*_, "matrix"]:
                names.append("exclude" if word == "exclude" else "AXIS")
            case [*_, "labels"] | [*_, "matrix", "exclude"]:
                names.append("PAIR")
            case [*_, "cache" | "secrets"]:
                names.append("ID")
            case [*_, "buildkit_options"]:
                names.append("options")
            case [*_, "options"]:
                names.append("KEY")
            case _:
                names.append(word)
    return names


def _outside(token: Token, stack: Sequence[Any]) -> tuple[str, str | None]:
    if stack:
        what = "workflow" if any(isinstance(value, Token) and value.type == "WORKFLOW" for value in stack) else "spec"
        return f"a file holds one {what}, and here begins something else", 'is there a ")" too many before it?'
    if token.type == "$END":
        return "there is no spec in the file", f"write {_SPEC}"
    if token.value.startswith("\ufeff"):
        return "the file begins with a byte order mark", "save it as UTF-8 without one"
    return f'expected "(", found {shown(token.value)}', f"write {_SPEC}"


def _bad_word(token: Token, names: list[str], expected: Set[str]) -> tuple[str, str | None]:
    """A form inside the one named last but one begins with the wrong word, or with none."""
    around, words = names[-2], {word.lower() for word in expected}
    if token.type in ("LPAR", "RPAR"):
        return 'expected a word after "("', f"one of: {', '.join(sorted(words))}"
    word, hint = shown(token.value), did_you_mean(token.value, words)
    if around == "spec":
        return _bad_op(token, word, hint, expected)
    if around == "workflow":
        return f"unknown item {word} of a workflow", hint or f"write {_USAGE['workflow']}"
    if around == "run" and token.value in _WORKFLOW_ONLY and token.value not in words:
        return f"{token.value} stands in workflows only", "a plain spec is what OBuilder reads"
    if token.type in _OPS:
        return f"{_label(names[:-1])} has no field {word}", f'is a ")" missing before "({token.value}"?'
    if token.type.lower() in ("uid", "gid", "name") and around == "user":
        return f"{token.value} cannot stand here", f"write {_usage(names[:-1])}"
    return f"unknown field {word} of {_label(names[:-1])}", hint or f"write {_usage(names[:-1])}"


def _bad_op(token: Token, word: str, hint: str | None, expected: Set[str]) -> tuple[str, str | None]:
    if "RUN" not in expected:  # still before the base
        if token.type in _OPS:
            return f"(from BASE) must stand before {token.value}", f"write {_SPEC}"
        return f"expected build or from, found {word}", hint
    match token.type:
        case "BUILD":
            return "builds must stand before (from BASE)", f"write {_SPEC}"
        case "FROM":
            return "a spec has one (from BASE), and this is a second one", None
        case _:
            return f"unknown op {word}", hint


def _bad_value(token: Token, names: list[str], expected: Set[str]) -> tuple[str, str | None]:
    """There are too few or too many values in the form named last, or one is of the wrong kind."""
    label, hint = _label(names), f"write {_usage(names)}"
    match token.type:
        case "RPAR" if names[-1] == "spec":
            return "(from BASE) is missing", hint
        case "RPAR":
            values, fields = {"ID": "its ID", "merge": "a second build"}, {"build": "its spec"}
            what = values.get(names[-1], "a value") if "ATOM" in expected else fields.get(names[-1], "a field")
            return f"{label} lacks {what}", hint
        case "EXCLUDE" if names[-1] == "AXIS":
            return "no axis can be called exclude, and what is excluded follows the axes", f"write {_USAGE['matrix']}"
        case "LPAR" if "ATOM" in expected:
            return f"{label} takes text here, not a list", hint
        case "LPAR":
            return f"too many values for {label}", hint
        case _ if "LPAR" in expected:
            return f'expected "(", found {shown(token.value)}', hint
        case _:
            return f"too many values for {label}", hint


def _label(names: list[str]) -> str:
    match names:
        case [*_, "spec"]:
            return "a spec"
        case [*_, "cache", "ID"]:
            return "a cache"
        case [*_, "secrets", "ID"]:
            return "a secret"
        case [*_, "options"]:
            return "buildkit_options"
        case [*_, "KEY"]:
            return "an option"
        case [*_, "AXIS"]:
            return "an axis"
        case [*_, "labels", "PAIR"]:
            return "a label"
        case [*_, "PAIR"]:
            return "an axis of exclude"
        case _:
            return names[-1]


def _usage(names: list[str]) -> str:
    inner = " ".join(names[-2:])
    return _USAGE[inner if inner in _USAGE else names[-1]]
