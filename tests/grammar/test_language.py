"""The language, as OBuilder has it: what each op becomes, what is refused, and with which words."""

from __future__ import annotations

import pytest

from grammar.ast import (
    At,
    Build,
    Comment,
    Copy,
    Env,
    FromBuild,
    Mount,
    Op,
    Run,
    Shell,
    Spec,
    UserIds,
    UserName,
    Workdir,
)
from grammar.check import MAX_DEPTH, copy_fault
from grammar.parser import decode, parse
from system.errors import SpecError


def ops(text: str) -> tuple[Op, ...]:
    return parse(f"((from a) {text})", file="t.spec").ops


@pytest.mark.parametrize(
    ("text", "op"),
    [
        ("(comment text)", Comment("text")),
        ('(comment "two\nlines")', Comment("two\nlines")),
        ("(workdir /src)", Workdir("/src")),
        ("(shell /bin/sh -c)", Shell(("/bin/sh", "-c"))),
        ("(shell)", Shell(())),
        ("(env K V)", Env("K", "V")),
        ("(user (uid 1) (gid 2))", UserIds(1, 2)),
        ("(user (name opam))", UserName("opam")),
        ("(copy (src a b) (dst c/))", Copy(("a", "b"), "c/")),
        ("(copy (from context) (src a) (dst c))", Copy(("a",), "c")),
        ("(copy (exclude .git x) (dst c) (src))", Copy((), "c", exclude=(".git", "x"))),
        ("(copy (src ..) (dst ..))", Copy(("..",), "..")),  # OBuilder refuses it only when it builds
        ("(run (shell x))", Run("x")),
        ("(run (shell x) (secrets) (network) (cache))", Run("x")),
        (
            "(run (secrets (s (target /s))) (network host n) (shell x) (cache (c (target /c)) (d (target /d))))",
            Run("x", (Mount("c", "/c"), Mount("d", "/d")), ("host", "n"), (Mount("s", "/s"),)),
        ),
        (
            "(run (shell x) (cache (c (buildkit_options ((k v) (run shell))) (target /c))))",
            Run("x", (Mount("c", "/c", (("k", "v"), ("run", "shell"))),)),
        ),
        ("(run (cache (c (buildkit_options ()) (target /c))) (shell x))", Run("x", (Mount("c", "/c"),))),
        # A quoted atom is the same atom; a keyword is one only after "(" and only where one is due.
        ('("run" ("shell" "x"))', Run("x")),
        ("(env run shell)", Env("run", "shell")),
        ("(run (cache (from (target target))) (shell run))", Run("run", (Mount("from", "target"),))),
        # OBuilder capitalises an op's first letter itself.
        ("(Run (shell x))", Run("x")),
        ("(Shell x)", Shell(("x",))),
        ("(run (cache (Run (target /c))) (shell x))", Run("x", (Mount("Run", "/c"),))),
        ("(#; foo run #; (bar) (#| |# shell x))", Run("x")),
    ],
)
def test_op(text: str, op: Op) -> None:
    assert ops(text) == (op,)


def test_spec() -> None:
    text = """
        ; comments and blanks around the only datum, dropped data too
        #; (this is not a spec)
        ((build one ((from a)))
         (build two ((build three ((from b))) (from c) (copy (from (build one)) (src x) (dst y))))
         (from "debian:12"))
        #| end |#"""
    copy = Copy(("x",), "y", FromBuild("one"))
    one = Build("one", Spec((), "a", ()))
    two = Build("two", Spec((Build("three", Spec((), "b", ())),), "c", (copy,)))
    assert parse(text, file="t.spec") == Spec((one, two), "debian:12", ())


def test_places() -> None:
    """What is said later about a spec (a secret that is not given, a base that is not there) has a place."""
    text = '((build b\n  ((from x)))\n (from y)\n (comment "é\n") (copy (from (build b)) (src a) (dst c))\r\n'
    text += " (run (secrets (s (target /s)))\n\t(shell x)))"
    spec = parse(text, file="t.spec")
    _, copy, run = spec.ops
    assert isinstance(copy, Copy) and isinstance(copy.source, FromBuild) and isinstance(run, Run)
    places = [spec.builds[0].at, spec.builds[0].spec.base_at, spec.base_at, *[op.at for op in spec.ops]]
    assert places == [At(1, 3), At(2, 10), At(3, 8), At(4, 3), At(5, 5), At(6, 3)]
    assert [copy.source.at, run.secrets[0].at] == [At(5, 23), At(6, 17)]


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("+7", 7),
        ("007", 7),
        ("1_000_", 1000),
        ("0x_1", None),
        ("0x1_F", 31),
        ("0XfF", 255),
        ("0o17", 15),
        ("0O17", 15),
        ("0b101", 5),
        ("0B1", 1),
        ("0u9", 9),
        ("4294967294", 4294967294),
        ("0xfffffffe", 4294967294),
        ("0" * 5000 + "1", 1),
        ("4294967295", None),
        ("-1", None),
        ("9" * 5000, None),
        ("", None),
        ("_1", None),
        ("1.0", None),
        ("1e3", None),
        ("0x", None),
        ("0b2", None),
        ("- 1", None),
        (" 1", None),
        ("--1", None),
        ("٣", None),
    ],
)
def test_ids_are_ints_of_ocaml(number: str, value: int | None) -> None:
    text = f'(user (uid 0) (gid "{number}"))'
    if value is None:
        with pytest.raises(SpecError, match=r"^t.spec:1:30: "):
            ops(text)
    else:
        assert ops(text) == (UserIds(0, value),)


# Each with its place, message and hint. In the texts of the second list `((from a) ` goes before, `)` behind.
_SPEC = "write ((build NAME SPEC)… (from BASE) OP…)"
_WRONG_SPECS = [
    ("", "1:1", "there is no spec in the file", _SPEC),
    ("; nothing\n", "1:1", "there is no spec in the file", _SPEC),
    ("#; ((from a))", "1:1", "there is no spec in the file", _SPEC),
    ("debian", "1:1", 'expected "(", found "debian"', _SPEC),
    ("\ufeff((from a))", "1:1", "the file begins with a byte order mark", "save it as UTF-8 without one"),
    ("(from a)", "1:2", 'expected "(", found "from"', _SPEC),
    ("()", "1:2", "(from BASE) is missing", _SPEC),
    ("((build b ((from a))))", "1:22", "(from BASE) is missing", _SPEC),
    ("((workdir /) (from a))", "1:3", "(from BASE) must stand before workdir", _SPEC),
    ("((frm a))", "1:3", 'expected build or from, found "frm"', 'did you mean "from"?'),
    ("((From a))", "1:3", 'expected build or from, found "From"', 'did you mean "from"?'),
    ("((from))", "1:7", "from lacks a value", "write (from BASE)"),
    ("((from a b))", "1:10", "too many values for from", "write (from BASE)"),
    ("((from (build b)))", "1:8", "from takes text here, not a list", "write (from BASE)"),
    ("((build b) (from a))", "1:10", "build lacks its spec", "write (build NAME SPEC)"),
    ("((build ((from a))) (from a))", "1:9", "build takes text here, not a list", "write (build NAME SPEC)"),
    ("((build b (from a)) (from a))", "1:12", 'expected "(", found "from"', _SPEC),
    ("((build b ((from a)) x) (from a))", "1:22", "too many values for build", "write (build NAME SPEC)"),
    (
        "((from a)) (run (shell x))",
        "1:12",
        "a file holds one spec, and here begins something else",
        'is there a ")" too many before it?',
    ),
    (
        "((from a)) b",
        "1:12",
        "a file holds one spec, and here begins something else",
        'is there a ")" too many before it?',
    ),
    ("((from a)) )", "1:12", 'this ")" closes nothing', None),
    (")", "1:1", 'this ")" closes nothing', None),
    ("((from a)", "1:1", 'this "(" is never closed', None),
    (
        "((from a)\n (run (shell x)\n",
        "2:2",
        'this "(" is never closed',
        "2 parentheses are open at the end of the file",
    ),
    ("((from a) (run (shell \ud800)))", "1:23", "U+D800 is no character", None),
    (
        "((build dev ((from a))) (build docs ((from a) (copy (from (build dev-)) (src a) (dst b)))) (from a))",
        "1:66",
        'unknown build "dev-"',
        'did you mean "dev"?',
    ),
    (
        "((build later ((from a) (copy (from (build late)) (src a) (dst b)))) (build late ((from a))) (from a))",
        "1:44",
        'unknown build "late"',
        "no build stands before this",
    ),
    (
        "((build b ((build inner ((from a))) (from a))) (from a) (copy (from (build inner)) (src a) (dst b)))",
        "1:76",
        'unknown build "inner"',
        'known here: "b"',
    ),
]
_COPY = "write (copy (src PATH…) (dst PATH))"
_WRONG_OPS = [
    ("(rum (shell x))", "1:12", 'unknown op "rum"', 'did you mean "run"?'),
    ("(zzz)", "1:12", 'unknown op "zzz"', None),
    ("(RUN (shell x))", "1:12", 'unknown op "RUN"', None),
    ("(src a)", "1:12", 'unknown op "src"', None),
    (
        '("\\027[0m" "' + "x" * 100 + '")',
        "1:12",
        'unknown op "\\x1b[0m"',
        None,
    ),
    ("(" + "y" * 100 + ")", "1:12", 'unknown op "' + "y" * 59 + '…"', None),
    ("run", "1:11", 'expected "(", found "run"', _SPEC),
    (
        "()",
        "1:12",
        'expected a word after "("',
        "one of: comment, copy, env, run, shell, user, workdir",
    ),
    (
        "((run (shell x)))",
        "1:12",
        'expected a word after "("',
        "one of: comment, copy, env, run, shell, user, workdir",
    ),
    ("(from b)", "1:12", "a spec has one (from BASE), and this is a second one", None),
    ("(build b ((from a)))", "1:12", "builds must stand before (from BASE)", _SPEC),
    ("(comment)", "1:19", "comment lacks a value", "write (comment TEXT)"),
    ("(workdir a b)", "1:22", "too many values for workdir", "write (workdir DIR)"),
    ("(workdir (a))", "1:20", "workdir takes text here, not a list", "write (workdir DIR)"),
    ("(env K)", "1:17", "env lacks a value", "write (env NAME VALUE)"),
    ("(env (K V))", "1:16", "env takes text here, not a list", "write (env NAME VALUE)"),
    ("(shell (a))", "1:18", "shell takes text here, not a list", "write (shell ARGUMENT…)"),
    ("(user opam)", "1:17", 'expected "(", found "opam"', "write (user (uid N) (gid N)) or (user (name NAME))"),
    ("(user (uid 1))", "1:24", "user lacks a field", "write (user (uid N) (gid N)) or (user (name NAME))"),
    (
        "(user (gid 1) (uid 1))",
        "1:18",
        "gid cannot stand here",
        "write (user (uid N) (gid N)) or (user (name NAME))",
    ),
    ("(user (nam opam))", "1:18", 'unknown field "nam" of user', 'did you mean "name"?'),
    ("(user (uid me) (gid 1))", "1:22", 'expected a whole number, found "me"', None),
    ("(user (uid 1) (gid -1))", "1:30", '"-1" is no id: ids are 0 to 4294967294', None),
    ("(copy (src a))", "1:12", "field dst is missing", None),
    ("(copy (dst a))", "1:12", "field src is missing", None),
    ("(copy (src a) (dst b) (src c))", "1:34", "field src stands twice", None),
    ("(copy (srcs a) (dst b))", "1:18", 'unknown field "srcs" of copy', 'did you mean "src"?'),
    ("(copy (zzz a) (dst b))", "1:18", 'unknown field "zzz" of copy', _COPY),
    ("(copy a b)", "1:17", 'expected "(", found "a"', _COPY),
    ("(copy (src a) (dst))", "1:29", "dst lacks a value", "write (dst PATH)"),
    ("(copy (src (a)) (dst b))", "1:22", "src takes text here, not a list", "write (src PATH…)"),
    (
        "(copy (from contxt) (src a) (dst b))",
        "1:23",
        'a copy is from context or from (build NAME), not from "contxt"',
        'did you mean "context"?',
    ),
    (
        "(copy (from dev) (src a) (dst b))",
        "1:23",
        'a copy is from context or from (build NAME), not from "dev"',
        "write (from (build dev))",
    ),
    ("(copy (from (buld b)) (src a) (dst b))", "1:24", 'unknown field "buld" of from', 'did you mean "build"?'),
    ("(copy (from (build)) (src a) (dst b))", "1:29", "build lacks a value", "write (build NAME)"),
    ("(copy (from (build b)) (src a) (dst b))", "1:30", 'unknown build "b"', "no build stands before this"),
    ("(run)", "1:12", "field shell is missing", None),
    ("(run ls)", "1:16", 'expected "(", found "ls"', "write (run (shell COMMAND))"),
    ("(run (shel ls))", "1:17", 'unknown field "shel" of run', 'did you mean "shell"?'),
    ("(run (Shell ls))", "1:17", 'unknown field "Shell"', 'did you mean "shell"?'),
    ("(run (shell ls -l))", "1:26", "too many values for shell", "write (shell COMMAND)"),
    ("(run (shell x) (shell y))", "1:27", "field shell stands twice", None),
    (
        "(run (shell x) (workdir /))",
        "1:27",
        'run has no field "workdir"',
        'is a ")" missing before "(workdir"?',
    ),
    ("(run (cache c) (shell x))", "1:23", 'expected "(", found "c"', "write (cache (ID (target DIR))…)"),
    ("(run (cache ()) (shell x))", "1:24", "a cache lacks its ID", "write (ID (target DIR))"),
    ("(run (cache (c)) (shell x))", "1:24", "field target is missing", None),
    ("(run (secrets (s)) (shell x))", "1:26", "field target is missing", None),
    ("(run (secrets (s (target))) (shell x))", "1:35", "target lacks a value", "write (target PATH)"),
    ("(run (cache (c /c)) (shell x))", "1:26", 'expected "(", found "/c"', "write (ID (target DIR))"),
    (
        "(run (secrets (s (targt /s))) (shell x))",
        "1:29",
        'unknown field "targt" of a secret',
        'did you mean "target"?',
    ),
    ("(run (cache (c (target a) (target b))) (shell x))", "1:38", "field target stands twice", None),
    (
        "(run (cache (c (target a) (buildkit_options (k v)))) (shell x))",
        "1:56",
        'expected "(", found "k"',
        "write ((KEY VALUE)…)",
    ),
    (
        "(run (cache (c (target a) (buildkit_options ((k))))) (shell x))",
        "1:58",
        "an option lacks a value",
        "write (KEY VALUE)",
    ),
]


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    _WRONG_SPECS + [(f"((from a) {text})", *rest) for text, *rest in _WRONG_OPS],
)
def test_refused(text: str, place: str, message: str, hint: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, file="t.spec")
    error = caught.value
    assert (f"{error.line}:{error.column}", error.message, error.hint) == (place, message, hint)
    assert error.text == text.split("\n")[error.line - 1]


def test_what_a_person_sees() -> None:
    with pytest.raises(SpecError) as caught:
        parse('((from a)\r\n\t(rum (shell "x")))\r\n', file="dir/t.spec")
    assert str(caught.value).split("\n") == [
        'dir/t.spec:2:3: unknown op "rum"',
        '\t(rum (shell "x")))',
        "\t ^",
        'did you mean "run"?',
    ]


@pytest.mark.parametrize(
    ("copy", "fault"),
    [
        (Copy(("a",), "b"), None),
        (Copy(("a", "b"), "c/"), None),
        (Copy(("a", "b"), ""), None),  # the working directory
        (Copy(("a..b", "..."), "/"), None),
        (Copy(("a", "b"), "c"), 'several sources are copied into a folder: the destination must be "c/"'),
        (Copy((), "c/"), "a copy needs a source"),
        (Copy(("a", "b/../c"), "d/"), '".." in a source: "b/../c"'),
    ],
)
def test_copies_that_only_a_build_refuses(copy: Copy, fault: str | None) -> None:
    assert copy_fault(copy) == fault


def test_depth() -> None:
    def nest(depth: int) -> str:
        return "((build b " * depth + "((from a))" + ") (from a))" * depth

    assert parse(nest(MAX_DEPTH), file="t.spec").builds
    for depth in (MAX_DEPTH + 1, 10_000):
        with pytest.raises(SpecError, match=f"builds nest deeper than {MAX_DEPTH}"):
            parse(nest(depth), file="t.spec")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000,
        "((build b " * 10_000,
        "((from a) (shell " + "(" * 10_000 + ")" * 10_000 + "))",
        "((from a) #; " + "(" * 10_000 + ")" * 10_000 + " (shell",
        "((from a) " + "#; " * 10_000 + "x " * 9_999 + ")",
        "((from a) " + "#| " * 10_000 + "|# " * 9_999 + ")",
        "((from a) (shell " + '"\\' * 100_000,
        "((from a) " + " " * 1_000_000,
        "((from a) (shell " + "#" * 1_000_000 + "|))",
        "((from a) (" + "run" * 100_000 + "))",
        "((from a) (user (uid " + "9" * 1_000_000 + ")))",
    ],
    ids=range(11),
)
@pytest.mark.timeout(5)
def test_no_text_is_too_much(text: str) -> None:
    with pytest.raises(SpecError):
        parse(text, file="t.spec")


def test_bytes_that_are_no_text() -> None:
    text = decode(b"((from a) (env caf\xc3\xa9 caf\xe9))")
    assert parse(text, file="t.spec").ops == (Env("café", "caf\udce9"),)
    # A str that no file can be read as is read as its bytes are.
    assert parse("((from a) (env \udcc3\udca9 v))", file="t.spec").ops == (Env("é", "v"),)
