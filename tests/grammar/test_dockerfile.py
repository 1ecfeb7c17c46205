"""The Dockerfile of a spec: OBuilder's rules, with the examples of its own tests."""

from __future__ import annotations

import pytest

from grammar.ast import Comment, Copy, Env, Op, Run, Spec
from grammar.dockerfile import Escape, dockerfile
from grammar.parser import parse
from system.errors import InputError

_EXAMPLE = r"""
((from base)
 (comment "A test comment")
 (workdir /src)
 (run (shell "command1"))
 (shell /bin/sh -c)
 (run (cache (a (target /data)) (b (target /srv))) (shell "command2 &&\n command3"))
 (copy (src a b) (dst c))
 (copy (src a b) (dst c) (exclude .git _build))
 (env DEBUG 1)
 (env ESCAPE "\"quote\\sla\\sh\"")
 (user (uid 1) (gid 2))
 (copy (src a b) (dst c)))
"""


def made(text: str, *, buildkit: bool = False, escape: Escape = "unix") -> str:
    return dockerfile(parse(text, file="t.spec"), buildkit=buildkit, escape=escape)


def line(op: Op, escape: Escape = "unix") -> str:
    return dockerfile(Spec((), "base", (op,)), escape=escape).removeprefix("#escape=`\n").removeprefix("FROM base\n")


def test_plain() -> None:
    expected = r"""FROM base
# A test comment
WORKDIR /src
RUN command1
SHELL [ "/bin/sh", "-c" ]
RUN command2 && \
    command3
COPY a b c
COPY a b c
ENV DEBUG="1"
ENV ESCAPE="\"quote\\sla\\sh\""
USER 1:2
COPY --chown=1:2 a b c
"""
    assert made(_EXAMPLE) == expected


def test_buildkit_keeps_caches() -> None:
    caches = "--mount=type=cache,id=a,target=/data,uid=0 --mount=type=cache,id=b,target=/srv,uid=0 "
    assert made(_EXAMPLE, buildkit=True) == made(_EXAMPLE).replace("RUN command2", f"RUN {caches}command2")


def test_buildkit_keeps_secrets() -> None:
    text = """
    ((from base)
     (run (secrets (a (target /secrets/a)) (b (target /secrets/b))) (shell command1))
     (user (uid 7) (gid 8))
     (run (cache (c (target /c) (buildkit_options ((sharing locked) (mode 0700)))))
          (secrets (a (target /a)))
          (network host)
          (shell command2)))"""
    assert made(text, buildkit=True).splitlines()[1:] == [
        "RUN --mount=type=secret,id=a,target=/secrets/a,uid=0 "
        "--mount=type=secret,id=b,target=/secrets/b,uid=0 command1",
        "USER 7:8",
        "RUN --mount=type=secret,id=a,target=/a,uid=7 "
        "--mount=type=cache,id=c,target=/c,uid=7,sharing=locked,mode=0700 command2",
    ]
    assert made(text).splitlines()[1:] == ["RUN command1", "USER 7:8", "RUN command2"]


def test_nested_builds_are_stages() -> None:
    text = """
    ((build tools
       ((build flags ((from a) (user (uid 1) (gid 1)) (copy (src x) (dst y))))
        (from b)
        (copy (from (build flags)) (src /f) (dst /f))))
     (build docs ((from c)))
     (from d)
     (user (uid 3) (gid 4))
     (copy (from (build tools)) (src /t) (dst /t)))"""
    expected = """FROM a as flags
USER 1:1
COPY --chown=1:1 x y

FROM b as tools
COPY --from=flags /f /f

FROM c as docs

FROM d
USER 3:4
COPY --chown=3:4 --from=tools /t /t
"""
    assert made(text) == expected


@pytest.mark.parametrize(
    ("user", "unix", "windows"),
    [
        ("(uid 0) (gid 0)", "COPY a b", "COPY a b"),
        ("(uid 0) (gid 1)", "COPY --chown=0:1 a b", "COPY --chown=0:1 a b"),
        ("(name opam)", "COPY --chown=opam a b", "COPY a b"),
        ("(name ContainerAdministrator)", "COPY a b", "COPY a b"),
    ],
)
def test_copies_belong_to_the_user(user: str, unix: str, windows: str) -> None:
    text = f"((from base) (user {user}) (copy (src a) (dst b)))"
    assert made(text).splitlines()[-1] == unix
    assert made(text, escape="windows").splitlines()[-1] == windows


def test_windows() -> None:
    text = r"""((from base) (shell cmd /S /C) (workdir C:\src) (env P "a \"b\" `c` \\d") (run (shell "one\n two")))"""
    expected = r"""#escape=`
FROM base
SHELL [ "cmd", "/S", "/C" ]
WORKDIR C:\src
ENV P="a `"b`" ``c`` \d"
RUN one `
    two
"""
    assert made(text, escape="windows") == expected


@pytest.mark.parametrize(
    ("op", "text"),
    [
        # OBuilder leaves all but the first line of a comment to be read as instructions.
        (Comment("one\nRUN two"), "# one\n# RUN two\n"),
        (Comment("one\\"), "# one\\\n"),
        (Run("\tone \n\n two\r\n"), "RUN one \\\n     \\\n    two \\\n    \n"),
        (Env("K", ""), 'ENV K=""\n'),
        (Env("K", "a\\b$c"), 'ENV K="a\\\\b$c"\n'),
        # … and takes the words of a path for paths.
        (Copy(("a b", 'c"'), "d"), 'COPY ["a b", "c\\"", "d"]\n'),
    ],
)
def test_line(op: Op, text: str) -> None:
    assert line(op) == text


@pytest.mark.parametrize("kind", ["cache", "secrets"])
def test_buildkit_needs_the_number_of_a_user(kind: str) -> None:
    text = f"((from base) (user (name opam)) (run ({kind} (a (target /a))) (shell x)))"
    assert made(text).endswith("RUN x\n")
    with pytest.raises(InputError, match=r"numerical user ids: .* is mounted for the user opam"):
        made(text, buildkit=True)
    with pytest.raises(InputError):  # the first user of Windows is a name too
        made(text.replace("(user (name opam))", ""), buildkit=True, escape="windows")
