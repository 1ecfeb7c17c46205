"""What is printed: canonical text that reads back as the same tree, on one line or laid out."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.ast import (
    Build,
    Comment,
    Copy,
    Env,
    FromBuild,
    FromContext,
    Mount,
    Op,
    Run,
    Shell,
    Spec,
    UserIds,
    UserName,
    Workdir,
)
from grammar.parser import parse
from grammar.printer import format_atom, format_base, format_op, format_spec
from grammar.remarks import format_text
from grammar.source import Source

# Every text that a tree can hold: what some bytes are read as. Half are made of what is special to sexplib.
texts = st.one_of(
    st.text(st.sampled_from("ab#|;\"\\()\n\r\t\b\f '\0\x1b\x7f\u00a0é\u2028💡\udcff\udcc3"), max_size=8),
    st.text(max_size=8),
    st.binary(max_size=8).map(os.fsdecode),
).map(lambda text: os.fsdecode(text.encode("utf-8", "surrogateescape")))
lists = st.lists(texts, max_size=3).map(tuple)
mounts = st.lists(
    st.builds(Mount, texts, texts, st.lists(st.tuples(texts, texts), max_size=2).map(tuple)), max_size=2
).map(tuple)
ids = st.integers(0, 2**32 - 2)


def ops(builds: tuple[str, ...]) -> st.SearchStrategy[Op]:
    sources = st.just(FromContext()) | st.sampled_from(builds).map(FromBuild) if builds else st.just(FromContext())
    return st.one_of(
        st.builds(Comment, texts),
        st.builds(Workdir, texts),
        st.builds(Shell, lists),
        st.builds(Env, texts, texts),
        st.builds(UserIds, ids, ids),
        st.builds(UserName, texts),
        st.builds(Copy, lists, texts, sources, lists),
        st.builds(Run, texts, mounts, lists, mounts),
    )


@st.composite
def specs(draw: st.DrawFn, scope: tuple[str, ...] = (), depth: int = 2) -> Spec:
    """Any spec whose copies name only what they can see."""
    builds = []
    for _ in range(draw(st.integers(0, 2)) if depth else 0):
        builds.append(Build(draw(texts), draw(specs(scope, depth - 1))))
        scope = (*scope, builds[-1].name)
    return Spec(tuple(builds), draw(texts), tuple(draw(st.lists(ops(scope), max_size=4))))


@given(specs())
def test_printed_specs_read_back(spec: Spec) -> None:
    text = format_spec(spec)
    assert text.encode("utf-8")  # no lone surrogate, whatever the tree holds
    assert all(char.isprintable() or char == "\n" for char in text)
    read = parse(text, file="t.spec")
    assert read == spec
    assert format_spec(read) == text
    assert format_text(Source("t.spec", text)) == text


@given(st.lists(ops(()), max_size=4), texts)
def test_printed_lines_make_a_spec(found: list[Op], base: str) -> None:
    lines = [format_base(base), *map(format_op, found)]
    assert not any("\n" in line for line in lines)
    assert parse(f"({''.join(lines)})", file="t.spec") == Spec((), base, tuple(found))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a", "a"),
        ("café", "café"),
        ("C:\\src", "C:\\src"),
        ("a'b#c|d", "a'b#c|d"),
        ("#", "#"),
        ("", '""'),
        ("a b", '"a b"'),
        ("a;b", '"a;b"'),
        ("#|", '"#|"'),
        ("a|#b", '"a|#b"'),
        ('"', r'"\""'),
        ("a\\ b", r'"a\\ b"'),
        ("\n\t\b\r", r'"\n\t\b\r"'),
        ("\0\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("a\u00a0b\u202e", r'"a\xc2\xa0b\xe2\x80\xae"'),  # what cannot be seen must not hide
        ("\udcff\udcc3é", r'"\xff\xc3é"'),
    ],
)
def test_atom(text: str, printed: str) -> None:
    assert format_atom(text) == printed


_MOUNT = Mount("a", "/data", (("sharing", "locked"), ("x", "y z")))


@pytest.mark.parametrize(
    ("op", "line"),
    [
        (Comment("a b"), '(comment "a b")'),
        (Workdir("/src"), "(workdir /src)"),
        (Shell(("/bin/sh", "-c")), "(shell /bin/sh -c)"),
        (Shell(()), "(shell)"),
        (Env("K", ""), '(env K "")'),
        (UserIds(1, 2), "(user (uid 1) (gid 2))"),
        (UserName("opam"), "(user (name opam))"),
        (Copy(("a", "b"), "c"), "(copy (src a b) (dst c))"),
        (
            Copy((), "c", FromBuild("d e"), (".git",)),
            '(copy (from (build "d e")) (src) (dst c) (exclude .git))',
        ),
        (Run("a\n b"), r'(run (shell "a\n b"))'),
        (
            Run("x" * 200, (_MOUNT, Mount("b", "/srv")), ("host",), (Mount("s", "/s"),)),
            '(run (cache (a (target /data) (buildkit_options ((sharing locked) (x "y z")))) (b (target /srv))) '
            f"(network host) (secrets (s (target /s))) (shell {'x' * 200}))",
        ),
    ],
)
def test_op_on_one_line(op: Op, line: str) -> None:
    assert format_op(op) == line


def test_layout() -> None:
    long = Copy(tuple(f"source-number-{number}" for number in range(5)), "/destination/")
    inner = Spec((), "a", (Run("x", network=("host",)),))
    nested = Spec((Build("inner", inner),), "b", (long,))
    ops = (Run("one\n  two\n\n\ttabs\nend\n", (Mount("a", "/data"),)), Run("no line\n"), Run("\\\n"), Run("\n\n a"))
    spec = Spec((Build("nested", nested), Build("empty", Spec((), "c", ()))), "d", (*ops, long))
    expected = r"""((build nested
        ((build inner
                ((from a)
                 (run (network host)
                      (shell x))))
         (from b)
         (copy (src source-number-0 source-number-1 source-number-2 source-number-3 source-number-4)
               (dst /destination/))))
 (build empty
        ((from c)))
 (from d)
 (run (cache (a (target /data)))
      (shell "one\n\
              \  two\n\
              \n\
              \ttabs\n\
              end\n"))
 (run (shell "no line\n"))
 (run (shell "\\\n"))
 (run (shell "\n\
              \n\
              \ a"))
 (copy (src source-number-0 source-number-1 source-number-2 source-number-3 source-number-4)
       (dst /destination/))
)
"""
    assert format_spec(spec) == expected


# --- Formatting a text keeps its comments.

_REMARKS = ["; line\n", "\n; own line\n", "#| block |#", "\n#| two\n  lines |#\n", "#; (dropped datum)", "#; #; a b\n"]


@given(specs(depth=1), st.data())
def test_comments_are_kept(spec: Spec, data: st.DataObject) -> None:
    """Wherever comments stand, formatting keeps each of them and the tree, and formatting again changes nothing."""
    pieces: list[str] = []
    used = []
    for piece in _pieces(format_spec(spec)):
        if data.draw(st.integers(0, 7)) == 0:
            used.append(data.draw(st.sampled_from(_REMARKS)))
            pieces.append(f" {used[-1]} ")
        pieces.append(piece)
    text = format_text(Source("t.spec", "".join(pieces)))
    assert parse(text, file="t.spec") == spec
    assert format_text(Source("t.spec", text)) == text
    for remark in _REMARKS:
        assert text.count(remark.strip()) >= used.count(remark)


def _pieces(text: str) -> list[str]:
    """A printed text, cut where a comment may stand: after each parenthesis that is not in a string."""
    pieces, piece, quoted, escaped = [], "", False, False
    for char in text:
        piece += char
        quoted ^= char == '"' and not escaped
        escaped = char == "\\" and quoted and not escaped
        if char in "()" and not quoted:
            pieces.append(piece)
            piece = ""
    return [*pieces, piece]


def test_comments_stay_where_they_belong() -> None:
    text = """\
; the head of the file

(
; above the first line
(build tools   ; on the head of a build
  ; above its first line
  ((from a)    ; on the base
   (run        ; in a short op
     (shell x))
   ; the last thing in the build
   ))
 (from b) (env A b) ; on the second of two
 (run (cache (c (target /c)))   ; in a long op
      ; and on a line of its own
      (shell y))                ; and behind it
 #; (run (shell "not now"))
 #| a block
    of lines |#
 (workdir /) #| behind |# ; and more
 ; the last thing
 )  ; the end
; after the end
"""
    expected = """\
; the head of the file
; above the first line
((build tools ; on the head of a build
        ; above its first line
        ((from a) ; on the base
         (run (shell x)))) ; in a short op
 ; the last thing in the build
 (from b)
 (env A b) ; on the second of two
 ; in a long op
 ; and on a line of its own
 ; and behind it
 (run (cache (c (target /c)))
      (shell y))
 #; (run (shell "not now"))
 #| a block
    of lines |#
 #| behind |#
 ; and more
 (workdir /)
 ; the last thing
)
; the end
; after the end
"""
    assert format_text(Source("t.spec", text)) == expected
