"""The ops that fetch, install and test a package: what they say, and what they leave out."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from grammar import ast
from grammar.opam.ast import Field, Section
from grammar.opam.parser import Reader
from grammar.parser import parse
from grammar.source import Body, Source
from stepwood.opam import recipe
from stepwood.opam.instructions import Archive, Instructions
from stepwood.opam.recipe import Recipe
from system.errors import InputError
from tests.opam import packages
from tests.opam.packages import LINUX, READER
from tests.opam.repositories import make

MD5, SHA256, SHA512 = "ab" * 16, "cd" * 32, "ef" * 64
LIB = """
opam-version: "2.0"
synopsis: "A library"
description: "Long"
x-commit-hash: "1234"
available: os = "linux"
depends: ["ocaml" {>= "4.08"} "dune" {build} "check" {with-test} "docs" {post}]
depopts: "unix"
conflicts: "old"
depexts: [["libc-dev"] {os = "linux"}]
build: [["dune" "build" "-p" name] ["say" "%{unix:installed}%"] {unix:installed}]
run-test: ["dune" "runtest"]
flags: light-uninstall
url { src: "https://host/lib-1.tgz" checksum: "sha256=00" mirrors: ["http://other/lib-1.tgz"] }
extra-source "fix.patch" { src: "https://host/fix.patch" checksum: "md5=11" }
""".replace("sha256=00", f"sha256={SHA256}").replace("md5=11", f"md5={MD5}")


def package(id: str, text: str, folder: str = "") -> Instructions:
    return Instructions.of(packages.package(id, text, folder), LINUX)


def test_opam_is_told_how_to_build_on_exactly_what_was_solved() -> None:
    text = package("lib.1", LIB).opam_file([("dune", "3.0"), ("ocaml", "5.3.0")])
    assert text == (
        'opam-version: "2.0"\n'
        'build: [["dune" "build" "-p" name] ["say" "%{unix:installed}%"] {unix:installed}]\n'
        'depends: ["dune" {= "3.0"} "ocaml" {= "5.3.0"}]\n'
        "flags: light-uninstall\n"
        'extra-source "fix.patch" {\n'
        f'  checksum: "md5={MD5}"\n'
        '  src: "https://host/fix.patch"\n'
        "}\n"
        "url {\n"
        f'  checksum: "sha256={SHA256}"\n'
        '  mirrors: ["http://other/lib-1.tgz"]\n'
        '  src: "https://host/lib-1.tgz"\n'
        "}\n"
    )
    Reader().parse(text, file="opam")


def test_tests_are_told_of_where_they_are_to_run() -> None:
    text = package("lib.1", LIB).opam_file([("ocaml", "5.3.0")], [("check", "2")])
    assert 'depends: ["ocaml" {= "5.3.0"} "check" {with-test & = "2"}]\n' in text
    assert 'run-test: ["dune" "runtest"]\n' in text


@pytest.mark.parametrize(
    "change",
    [
        ('synopsis: "A library"', 'synopsis: "The library"'),
        ('{>= "4.08"}', '{>= "4.08" & < "6"}'),
        ('x-commit-hash: "1234"', ""),
        ('depexts: [["libc-dev"] {os = "linux"}]', ""),
        ("[[", "[ # why\n ["),
    ],
)
def test_what_does_not_change_the_build_does_not_change_the_step(change: tuple[str, str]) -> None:
    needs = [("ocaml", "5.3.0")]
    assert change[0] in LIB
    one, other = (package("lib.1", text) for text in (LIB, LIB.replace(*change)))
    assert recipe.install(one, needs, {}) == recipe.install(other, needs, {})


@pytest.mark.parametrize(
    "change", [('"-p" name', '"-p" name "-j" jobs'), (SHA256, "0" * 64), ("light-uninstall", "conf")]
)
def test_what_changes_the_build_changes_the_step(change: tuple[str, str]) -> None:
    assert change[0] in LIB
    one, other = (package("lib.1", text) for text in (LIB, LIB.replace(*change)))
    assert recipe.install(one, [], {}) != recipe.install(other, [], {})


def test_all_that_a_source_consists_of_goes_by_its_strongest_checksum() -> None:
    assert package("lib.1", LIB).archives == (
        Archive(("https://host/lib-1.tgz", "http://other/lib-1.tgz"), "sha256", SHA256),
        Archive(("https://host/fix.patch",), "md5", MD5),
    )
    both = f'url {{ src: "ftp://host/x" checksum: ["md5={MD5}" "sha512={SHA512.upper()}" "sha256={SHA256}"] }}'
    assert package("lib.1", both).archives == (Archive(("ftp://host/x",), "sha512", SHA512),)
    bare = f'url {{ archive: "http://host/x" checksum: "{MD5}" }}'
    assert package("lib.1", bare).archives == (Archive(("http://host/x",), "md5", MD5),)
    assert package("lib.1", "").archives == ()
    assert not recipe.source(package("lib.1", ""))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ('src: "https://host/x"', "no checksum"),
        ('git: "https://host/x.git"', "version control"),
        (f'src: "git+https://host/x" checksum: "md5={MD5}"', "no address that can be fetched from"),
        (f'src: "/etc/passwd" checksum: "md5={MD5}"', "no address that can be fetched from"),
    ],
)
def test_a_source_at_no_fixed_state_is_refused(url: str, told: str) -> None:
    assert told in package("lib.1", f"url {{ {url} }}").unfetchable


def test_a_label_says_what_a_step_is_for() -> None:
    lib = package("lib.1", LIB)
    (source,) = recipe.source(lib)
    assert isinstance(source, ast.Run)
    assert recipe.label(source.command) == ("source", "lib.1")
    assert recipe.label(recipe.install(lib, [], {}).command) == ("install", "lib.1")
    assert recipe.label(recipe.test(lib, [], [], {}).command) == ("test", "lib.1")
    assert recipe.label(recipe.system(["gcc"]).command) == ("system", "")
    assert recipe.label("make install") is None


LOG = """\
The following actions will be performed:
#=== ERROR while compiling bad.1 ====#
# context     2.1.2
### output ###
# going
#
# Error: it is broken
# #define x


<><> Error report <><>
# No changes"""


def test_of_a_log_of_opam_the_output_of_what_failed_is_taken() -> None:
    assert recipe.output(LOG.splitlines()) == ["going", "", "Error: it is broken", "#define x"]
    assert recipe.output(["one", "# two"]) == ["one", "# two"]
    assert recipe.output(["a", "### output ###"]) == ["a", "### output ###"]


def test_network_is_for_sources_and_system_packages_only() -> None:
    lib = package("lib.1", LIB)
    (source,) = recipe.source(lib)
    assert isinstance(source, ast.Run)
    assert source.network == recipe.system(["gcc"]).network == ("host",)
    assert recipe.install(lib, [], {}).network == recipe.test(lib, [], [], {}).network == ()


# --- the scripts, by the shell that runs them


def sh(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = ["/bin/sh", "-e", "-c", script]
    return subprocess.run(argv, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, check=False)


def tools(folder: Path, **scripts: str) -> str:
    """A PATH on which these programs come first."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("text", ["END\n", "END\nEND_\n", ""])
def test_files_reach_the_repository_byte_by_byte(tmp_path: Path, text: str) -> None:
    files = {"a b/é.patch": bytes(range(256)), "x": b""}
    lib = package("lib.1", f'build: ["x" """{text}"""]' if text else "")
    run = recipe.install(lib, [("a", "1")], files)
    done = sh(run.command, OPAMROOT=str(tmp_path), PATH=tools(tmp_path, opam='echo "$@" >>$OPAMROOT/asked'))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "repository/packages/lib/lib.1"
    assert (folder / "opam").read_text() == lib.opam_file([("a", "1")])
    assert {name: (folder / "files" / name).read_bytes() for name in files} == files
    assert (tmp_path / "asked").read_text() == "update default\ninstall lib.1\n"


def fetch(tmp_path: Path, content: bytes | None, checksum: str) -> int:
    """The exit status of a source step where the one address has `content`, or nothing."""
    lib = package("lib.1", f'url {{ src: "https://host/x" checksum: "sha256={checksum}" }}')
    (run,) = recipe.source(lib)
    assert isinstance(run, ast.Run)
    script = "exit 22" if content is None else f'while [ "$1" != -o ]; do shift; done; cp {tmp_path}/content "$2"'
    (tmp_path / "content").write_bytes(content or b"")
    command = run.command.replace(recipe.ARCHIVES.target, f"{tmp_path}/cache")
    path = tools(tmp_path, curl=f'echo "$@" >>{tmp_path}/asked; {script}')
    return sh(command, OPAMROOT=str(tmp_path / "opam"), PATH=path).returncode


def test_a_source_is_fetched_checked_and_kept_for_others(tmp_path: Path) -> None:
    sum = hashlib.sha256(b"content").hexdigest()
    assert fetch(tmp_path, b"content", sum) == 0
    place = tmp_path / "opam/download-cache/sha256" / sum[:2] / sum
    assert place.read_bytes() == b"content"
    place.unlink()
    assert fetch(tmp_path, None, sum) == 0, "the second time it comes from the cache"
    assert place.read_bytes() == b"content"
    assert len((tmp_path / "asked").read_text().splitlines()) == 1


def test_a_pinned_folder_is_packed_where_opam_finds_it_whenever_it_was_written(tmp_path: Path) -> None:
    lib = package("lib.1", 'url { src: "https://host/x" }', folder="/src/lib")
    copy, run = recipe.pinned(lib, "/opam")
    assert isinstance(copy, ast.Copy)
    assert (copy.sources, copy.destination, copy.source) == ((".",), "/opam/pinned-lib", ast.FromContext())
    assert isinstance(run, ast.Run)
    assert recipe.label(run.command) == ("source", "lib.1")
    assert lib.archives == (), "the folder is the source, whatever the file says"
    sums = set()
    for time in (0, 10**9):
        root = tmp_path / str(time)
        make(root / "pinned-lib", {"b/x": "content", "a": ""})
        os.utime(root / "pinned-lib/a", (time, time))
        done = sh(run.command, OPAMROOT=str(root))
        assert done.returncode == 0, done.stderr
        (archive,) = (root / "download-cache/sha256").rglob("?" * 64)
        assert archive.parent.name == archive.name[:2]
        with tarfile.open(archive) as packed:
            assert packed.getnames() == ["pinned-lib", *(f"pinned-lib/{name}" for name in ("a", "b", "b/x"))]
        sums.add(hashlib.sha256(archive.read_bytes()).hexdigest())
        assert not (root / "pinned-lib").exists()
        install = recipe.install(lib, [], {})
        done = sh(install.command, OPAMROOT=str(root), PATH=tools(tmp_path, opam=":"))
        assert done.returncode == 0, done.stderr
        (*_, url) = READER.parse((root / "repository/packages/lib/lib.1/opam").read_text(), file="opam").items
        assert isinstance(url, Section)
        assert url.kind == "url"
        assert [item.value for item in url.items if isinstance(item, Field)][1:] == [f"sha256={archive.name}"]
    assert sums == {archive.name}


def test_a_source_that_is_gone_or_another_says_so(tmp_path: Path) -> None:
    sum = hashlib.sha256(b"content").hexdigest()
    assert fetch(tmp_path, None, sum) == recipe.GONE
    assert fetch(tmp_path, b"other", sum) == recipe.CHANGED
    assert not [*(tmp_path / "cache").rglob(sum)], "what is wrong is not kept"


def test_a_damaged_cache_is_fetched_anew(tmp_path: Path) -> None:
    sum = hashlib.sha256(b"content").hexdigest()
    kept = tmp_path / "cache/sha256" / sum
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"other")
    assert fetch(tmp_path, b"content", sum) == 0
    assert kept.read_bytes() == b"content"


def test_system_packages_that_cannot_be_had_are_left_out(tmp_path: Path) -> None:
    apt = f"""echo "$@" >>{tmp_path}/asked
case " $* " in *" -s "*) case " $* " in *" bad "*|*" b c "*) exit 100;; esac;; esac"""
    run = recipe.system(["c", "bad", "a", "b"])
    done = sh(run.command.replace("rm -rf", "echo"), PATH=tools(tmp_path, **{"apt-get": apt}))
    assert done.returncode == 0, done.stderr
    assert "cannot be had: bad\ncannot be had: c\n" in done.stdout
    assert "install -q -y --no-install-recommends a b" in (tmp_path / "asked").read_text().splitlines()


# --- recipes


def body(text: str) -> Body:
    return Body(parse(text, file="r.spec"), Source("r.spec", text))


def test_a_recipe_says_who_builds_and_where() -> None:
    found = Recipe.of(
        body("((from x) (user (uid 0) (gid 0)) (env OPAMROOT /o) (env OPAMROOT /p) (user (uid 7) (gid 8)))")
    )
    assert (found.root, found.user.uid, found.user.gid) == ("/p", 7, 8)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("((from x) (user (uid 1) (gid 1)))", r"r.spec is no recipe .* no \(env OPAMROOT"),
        ("((from x) (env OPAMROOT /o))", r"no \(user \(uid"),
        ("((from x) (env OPAMROOT /o) (user (name me)))", r"no \(user \(uid"),
    ],
)
def test_what_is_no_recipe_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Recipe.of(body(text))
