"""The helper: launches, how they end, and that nothing is left of them. Points are those of docs' "Found by trying"."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from system.errors import HelperError, InputError, SandboxError
from system.helper import wire
from system.helper.client import Helper
from system.launch import Call, Data, Exec, Folder, Ids, Launch, Layers, Mount, World
from tests.system.bed import PATH, Bed, mounted, processes

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def own(bed: Bed, tmp_path: Path) -> Iterator[Bed]:
    """A bed whose helper a test may kill."""
    stage = tmp_path / "stage"
    stage.mkdir()
    helper = Helper(stage)
    yield Bed(bed.folder, helper, prefix=f"{tmp_path.name}-")
    helper.close()


def inner(helper: Helper) -> int:
    """The helper's inner process, which is PID 1 of its own pid namespace."""
    outer = helper._process.pid
    (child,) = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    return int(child)


def soon(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def unique() -> str:
    """A number of seconds to sleep that no other process sleeps."""
    return f"86400.{time.time_ns()}"


# Launches


def test_output_status_and_usage(bed: Bed) -> None:
    ended = bed.run(bed.shell("echo out; echo err >&2; exit 7"))
    assert (ended.status, ended.text) == (7, "out\nerr\n")
    assert ended.exit.peak_memory > 0
    assert 0 <= ended.exit.cpu_seconds < 5


def test_wait_can_time_out_and_be_asked_again(bed: Bed) -> None:
    with bed.job(bed.shell("sleep 0.3; exit 4")) as job:
        with pytest.raises(TimeoutError):
            job.started.wait(0.01)
        assert job.started.wait(10) == job.started.wait(10)
        assert job.started.wait().status == 4


def test_what_cannot_start_is_127_or_126_and_said(bed: Bed) -> None:
    for program, status in (("/no/such", 127), ("no-such", 127), ("/etc/passwd", 126), ("/bin", 126), ("a\0b", 126)):
        ended = bed.run(Launch(Exec((program,), PATH), root=bed.root()))
        assert ended.status == status
        assert ended.text.startswith("stepwood: cannot start ")
        assert "b'" not in ended.text


def test_a_missing_cwd_is_made_only_when_asked(bed: Bed) -> None:
    launch = Launch(Exec(("/bin/pwd",), PATH, cwd="/a/b"), root=bed.root())
    assert bed.run(launch).status == 127
    assert (
        bed.run(replace(launch, process=Exec(("/bin/pwd",), PATH, "/a/b", make_cwd=True), root=bed.root())).text
        == "/a/b\n"
    )


def test_a_step_starts_with_signals_as_they_come(bed: Bed) -> None:
    """The helper ignores TERM; a step that inherited this could neither be terminated nor trap it."""
    ended = bed.run(replace(bed.shell(""), process=Exec(("/bin/grep", "Sig[BI]", "/proc/self/status"), PATH)))
    ours = ~(3 << 31)  # 32 and 33 are the C library's own, which nobody can set
    assert [int(line.split()[1], 16) & ours for line in ended.text.splitlines()] == [0, 0]


def test_a_step_has_no_descriptor_of_the_helper(bed: Bed) -> None:
    """Over the control socket a step could hand a pickle to the engine; over a lock it could hold the store."""
    assert bed.run(bed.shell("echo /proc/self/fd/*")).text.split() == [f"/proc/self/fd/{n}" for n in range(4)]


def test_one_helper_serves_several_worlds(bed: Bed) -> None:
    worlds = [World(hostname=name, network=False) for name in ("one", "two")]
    for _ in range(3):
        assert [bed.run(bed.shell("hostname", world=world)).text for world in worlds] == ["one\n", "two\n"]


def test_a_world_that_cannot_be_furnished_fails_each_launch_and_nothing_else(bed: Bed) -> None:
    odd = World(mounts=(Mount("/data", Folder("/no/such/folder")),))
    for _ in range(2):
        with pytest.raises(SandboxError, match="No such file"):
            bed.run(bed.shell(":", world=odd))
    assert bed.run(bed.shell("echo fine")).text == "fine\n"


def test_a_child_that_died_in_wait_costs_no_launch(own: Bed) -> None:
    assert own.run(own.shell(":")).status == 0
    pid = inner(own.helper)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    assert soon(lambda: children.read_text() != "")
    os.kill(int(children.read_text()), signal.SIGKILL)
    time.sleep(0.1)
    assert own.run(own.shell("echo again")).text == "again\n"
    assert soon(lambda: len(children.read_text().split()) == 1)


def test_the_hosts_tree_without_a_root(bed: Bed) -> None:
    ended = bed.run(Launch(Exec(("/bin/sh", "-c", f"echo $$ /proc/[0-9]*; echo {bed.folder}/b*"), PATH)))
    assert ended.text == f"1 /proc/1\n{bed.folder}/base\n"


def test_mounts_stand_in_order_one_on_another(bed: Bed) -> None:
    outer, below = bed.fresh("outer"), bed.fresh("below")
    (below / "file").write_text("deep\n")
    mounts = (Mount("/m", Folder(str(outer))), Mount("/m/n", Folder(str(below))), Mount("/m/n/data", Data(b"data\n")))
    assert bed.run(bed.shell("cat /m/n/file /m/n/data", *mounts)).text == "deep\ndata\n"
    assert [path.name for path in outer.iterdir()] == ["n"]


def test_a_user_gets_ids_groups_and_home(bed: Bed) -> None:
    process = Exec(("/bin/sh", "-c", "id -u; id -g; id -G; echo $HOME"), PATH, home=True)
    ended = bed.run(Launch(process, root=bed.root(), user=Ids(1000, 1001, (7,))))
    assert ended.text.splitlines() == ["1000", "1001", "1001 7", "/home/user"]


# Ending


def test_terminate_kills_a_deaf_shell_at_once_point_1(bed: Bed) -> None:
    with bed.job(bed.shell("echo ready; while :; do read x </dev/zero; done")) as job:
        assert job.line() == "ready"
        job.started.terminate()
        assert job.end(2).status == 137


def test_terminate_reaches_the_whole_tree_and_lets_a_trap_finish_point_1(bed: Bed) -> None:
    script = (
        "trap 'echo bye; exit 5' TERM; echo ready; (trap 'echo child; exit' TERM; while :; do sleep 0.1; done) & wait"
    )
    with bed.job(bed.shell(script)) as job:
        assert job.line() == "ready"
        time.sleep(0.2)
        job.started.terminate()
        ended = job.end(5)
    assert ended.status == 5
    assert "bye" in ended.text


def test_kill_takes_the_whole_tree(bed: Bed) -> None:
    mark = unique()
    with bed.job(bed.shell(f"trap '' TERM; (setsid sleep {mark} &); echo ready; sleep {mark}")) as job:
        assert job.line() == "ready"
        assert soon(lambda: len(processes(mark)) >= 2)
        job.started.kill()
        assert job.end(5).status == 137
    assert processes(mark) == []


def test_closing_a_started_kills_it(bed: Bed) -> None:
    mark = unique()
    with bed.job(bed.shell(f"echo ready; sleep {mark}")) as job:
        assert job.line() == "ready"
        assert soon(lambda: processes(mark) != []), "it may be between two programs, without a command line"
    assert soon(lambda: processes(mark) == [])


def test_requests_after_the_end_do_nothing(bed: Bed) -> None:
    with bed.job(bed.shell(":")) as job:
        job.started.wait(10)
        job.started.terminate()
        job.started.kill()
        assert job.started.wait().status == 0


def test_nothing_is_left_when_the_helper_is_killed_point_1(own: Bed) -> None:
    before, mark = mounted(), unique()
    with own.job(own.shell(f"(setsid sleep {mark} &); echo ready; sleep {mark}")) as job:
        assert job.line() == "ready"
        os.kill(inner(own.helper), signal.SIGKILL)
        with pytest.raises(HelperError):
            job.started.wait(5)
    assert soon(lambda: processes(mark) == [])
    assert own.helper._process.wait(5) == 0
    assert mounted() == before
    with pytest.raises(HelperError):
        own.run(own.shell(":"))


def test_nothing_is_left_when_the_outer_process_is_killed_point_1(own: Bed) -> None:
    mark = unique()
    with own.job(own.shell(f"setsid sleep {mark} & echo ready; wait")) as job:
        assert job.line() == "ready"
        own.helper._process.kill()
        with pytest.raises(HelperError):
            job.started.wait(5)
    assert soon(lambda: processes(mark) == [])


ENGINE = """
import sys, time
from pathlib import Path
from system.helper.client import Helper
from system.launch import Exec, Launch, Folder, Ids
stage, root, mark, lock = sys.argv[1:]
held = open(lock)
helper = Helper(Path(stage), [held.fileno()])
script = f"(setsid sleep {mark} &); exec sleep {mark}"
program = Exec(("/bin/sh", "-c", script), (("PATH", "/bin"),))
jobs = [
    helper.start(Launch(program, root=Folder(root), user=Ids(uid))) for uid in (0, 0, 0, 1000, 1000)
]
print("ready", flush=True)
time.sleep(60)
"""


def test_nothing_is_left_when_the_engine_is_killed_point_1(bed: Bed, tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "lock").touch()
    root = tmp_path / "root"
    root.mkdir()
    for name in ("proc", "bin"):
        (root / name).mkdir()
    (root / "dev").mkdir()
    (root / "dev/null").touch()
    (root / "dev/null").chmod(0o666)
    for name in ("sh", "sleep", "setsid"):
        os.link(bed.folder / "base/bin/busybox", root / "bin" / name)
    before, mark = mounted(), unique()
    argv = [sys.executable, "-c", ENGINE, tmp_path / "stage", root, mark, tmp_path / "lock"]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE) as engine, open(tmp_path / "lock") as lock:
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"ready\n"
        assert soon(lambda: len(processes(mark)) == 11)  # five times two, and the engine
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free: the engine only holds it open
        engine.kill()
    assert soon(lambda: processes(mark) == [] and processes(str(tmp_path / "stage")) == [])
    assert mounted() == before


def test_200_steps_that_sleep_a_second_point_10(bed: Bed) -> None:
    world = World(network=False, ipc=True, hostname="builder")
    launches = [replace(bed.shell("", world=world), process=Exec(("/bin/sleep", "1"), PATH)) for _ in range(200)]
    began = time.monotonic()
    started = [bed.helper.start(launch) for launch in launches]
    assert {each.wait(20).status for each in started} == {0}
    assert time.monotonic() - began < 3


def test_a_network_namespace_serves_again_point_10(bed: Bed) -> None:
    world = World(network=False, hostname="again")
    names = [
        bed.run(bed.shell("readlink /proc/self/ns/net; cat /sys/class/net/lo/flags", world=world)).text
        for _ in range(8)
    ]
    assert len(set(names)) <= 2  # one for the step, one for the child in wait


# Calls


def call(bed: Bed, function: str, *arguments: object, root: Layers) -> str:
    read, write = os.pipe()
    with open(read, "rb") as output:
        try:
            with bed.job(Launch(Call(function, arguments), root=root), [write]) as job:
                job.started.wait(10)
        finally:
            os.close(write)
        return output.read().decode()


def test_a_call_answers_over_a_descriptor(bed: Bed) -> None:
    assert call(bed, "resolve_user", "user", root=bed.root()) == "1000 1000"


def test_a_call_that_refuses_is_wrong_input(bed: Bed) -> None:
    with pytest.raises(InputError, match='no user "nobody-here"'):
        call(bed, "resolve_user", "nobody-here", root=bed.root())


def test_a_call_that_is_unknown_is_an_error(bed: Bed) -> None:
    with pytest.raises(SandboxError):
        call(bed, "no_such_function", root=bed.root())


def test_a_call_follows_links_only_inside_the_tree_point_8(bed: Bed) -> None:
    host = bed.fresh("host")
    (host / "passwd").write_text("planted:x:7:7:::\n")
    for link in (host, f"/..{host}", f"../../../..{host}"):
        upper = bed.fresh("upper")
        (upper / "etc").symlink_to(link)
        with pytest.raises(InputError):
            call(bed, "resolve_user", "planted", root=bed.root(upper))


def test_a_call_asks_no_library_of_the_tree_point_8(bed: Bed) -> None:
    upper = bed.fresh("upper")
    (upper / "etc").mkdir()
    (upper / "etc/nsswitch.conf").write_text("passwd: evil\ngroup: evil\n")
    (upper / "lib").mkdir()
    (upper / "lib/libnss_evil.so.2").write_text("not a library")
    assert call(bed, "resolve_user", "user", root=bed.root(upper)) == "1000 1000"


# Roots


def chain(bed: Bed, count: int) -> Layers:
    """That many lowers with long names, each with a file."""
    folder = bed.fresh("chain")
    names = [f"{number:03}-{'n' * 240}" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name / "files").mkdir(parents=True)
        (folder / name / f"files/{number}").touch()
        (folder / name / "last").write_text(str(number))
    for name in ("up", "wk"):
        (folder / name).mkdir()
    for name in ("bin", "etc"):  # the undermost is a base
        subprocess.run(["cp", "-a", bed.folder / "base" / name, folder / names[0]], check=True)
    (folder / names[0] / "proc").mkdir()
    return Layers(str(folder), tuple(names), "up", "wk")


def test_450_lowers_and_a_message_too_long_for_a_packet_point_7(bed: Bed) -> None:
    secret = Mount("/secret", Data(b"s" * 150_000), readonly=True)
    launch = bed.shell("ls /files | wc -l; cat /last; wc -c < /secret", secret, root=chain(bed, 450))
    assert bed.run(launch).text.split() == ["450", "449150000"]


def test_500_lowers_are_the_most_point_4(bed: Bed) -> None:
    assert bed.run(bed.shell("cat /last", root=chain(bed, 500))).text == "499"
    with pytest.raises(SandboxError, match="too many layers"):
        bed.run(bed.shell("cat /last", root=chain(bed, 501)))


def test_mount_points_come_from_the_scaffold_point_4(bed: Bed) -> None:
    upper = bed.fresh("upper")
    mounts = (Mount("/etc/hosts", Data(b"")), Mount("/tmp", Folder(str(bed.fresh("tmp")))))
    assert bed.run(bed.shell(":", *mounts, root=bed.root(upper))).status == 0
    assert list(upper.iterdir()) == []


@pytest.mark.parametrize("link", ["{}", "/..{}", "../../../../../..{}", "/../../proc/self/root/..{}"])
def test_a_mount_target_behind_a_planted_link_stays_inside_point_3(bed: Bed, link: str) -> None:
    """`/..` led to the old root, which lies on top of the new one until it is detached."""
    host, kept, upper = bed.fresh("host"), bed.fresh("cache"), bed.fresh("upper")
    (upper / "link").symlink_to(link.format(host))
    mounts = (Mount("/link/folder", Folder(str(kept))), Mount("/link/file", Data(b"hush"), readonly=True))
    try:
        ended = bed.run(bed.shell("touch /link/folder/made; cat /link/file", *mounts, root=bed.root(upper)))
    except SandboxError:
        assert "proc" in link
    else:
        assert ended.text == "hush"
        assert [path.name for path in kept.iterdir()] == ["made"]
    assert list(host.iterdir()) == []


def test_a_furnished_mount_behind_a_planted_link_stays_inside_point_3(bed: Bed) -> None:
    host, upper = bed.fresh("host"), bed.fresh("upper")
    (upper / "etc").symlink_to(f"/..{host}")
    world = World(mounts=(*World().mounts, Mount("/etc/hosts", Data(b"ours\n"), readonly=True)))
    assert bed.run(bed.shell("cat /etc/hosts", root=bed.root(upper), world=world)).text == "ours\n"
    assert list(host.iterdir()) == []


def test_the_old_root_is_out_of_reach_point_3(bed: Bed) -> None:
    (bed.folder / "witness").touch()
    witness = bed.folder / "witness"
    for path in (f"/..{witness}", f"/proc/1/root{witness}", f"/proc/self/cwd/..{witness}"):
        assert bed.run(bed.shell(f"test -e {path}")).status == 1, path
    assert bed.run(bed.shell("wc -l < /proc/mounts")).text == "2\n"


def test_the_overlays_options_point_7(bed: Bed) -> None:
    options = bed.run(bed.shell("grep ' / ' /proc/mounts")).text.split()[3].split(",")
    assert {"redirect_dir=nofollow", "uuid=null", "nodev"} <= set(options)
    assert {"volatile", "fsync=volatile"} & set(options)
    assert not {"index=on", "metacopy=on", "xino=on", "nosuid"} & set(options)


def test_a_redirect_of_a_hostile_layer_is_not_followed_point_7(bed: Bed) -> None:
    upper = bed.fresh("upper")
    (upper / "found").mkdir()
    os.setxattr(upper / "found", "trusted.overlay.redirect", b"/bin")
    assert "busybox" not in bed.run(bed.shell("ls /found", root=bed.root(upper))).text


def test_a_renamed_folder_is_copied_and_no_layer_is_opaque_point_7(bed: Bed) -> None:
    upper = bed.fresh("upper")
    assert bed.run(bed.shell("mv /etc /moved; mkdir /new", root=bed.root(upper))).status == 0
    assert (upper / "moved/passwd").exists()
    for folder in ("moved", "new"):
        assert not any("redirect" in name or "opaque" in name for name in os.listxattr(upper / folder)), folder


def test_a_volatile_upper_serves_as_a_lower_but_never_again_as_an_upper_point_7(bed: Bed) -> None:
    root = bed.root()
    assert root.upper is not None
    assert bed.run(bed.shell("echo kept > /file", root=root)).status == 0
    with pytest.raises(SandboxError):
        bed.run(bed.shell(":", root=root))
    above = replace(bed.root(), lowers=(*root.lowers, root.upper))
    assert bed.run(bed.shell("cat /file", root=above)).text == "kept\n"


def test_a_base_with_a_bin_link_is_hidden_by_a_folder_above_point_12(bed: Bed) -> None:
    below, above = bed.fresh("below"), bed.fresh("above")
    (below / "place").symlink_to("bin")
    (above / "place").mkdir()
    root = replace(bed.root(), lowers=("scaffold", "base", below.name, above.name))
    assert bed.run(bed.shell("ls /place", root=root)).text == ""


def test_a_cache_over_layers_leaves_its_version_alone_point_12(bed: Bed) -> None:
    version, upper, work = bed.fresh("version"), bed.fresh("upper"), bed.fresh("work")
    (version / "a").write_text("one\n")
    cache = Mount("/cache", Layers(str(bed.folder), (version.name,), upper.name, work.name))
    assert bed.run(bed.shell("cat /cache/a; echo two > /cache/a", cache)).text == "one\n"
    assert (version / "a").read_text() == "one\n"
    assert (upper / "a").read_text() == "two\n"


def test_a_read_only_root_needs_no_upper(bed: Bed) -> None:
    root = Layers(str(bed.folder), ("scaffold", "base"))
    assert bed.run(bed.shell("touch /x", root=root)).status == 1
    assert bed.run(Launch(Exec(("/bin/true",), PATH), root=root)).status == 0


def test_device_nodes_of_a_root_cannot_be_opened_unless_asked_point_5(bed: Bed) -> None:
    for nodev, status in ((True, 1), (False, 0)):
        upper = bed.fresh("upper")
        os.mknod(upper / "node", 0o20666, os.makedev(1, 5))
        assert bed.run(replace(bed.shell("head -c 1 /node", root=bed.root(upper)), nodev=nodev)).status == status


BY_PAGE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from system.helper import mounts, syscalls
from system.launch import Layers
folder, place = sys.argv[2:4]
syscalls.unshare(syscalls.CLONE_NEWNS)
syscalls.make_private()
stage = mounts.Stage(place)
stage.prepare()
def look(make, upper, work, attributes):
    mount = make(Layers(folder, ("scaffold", "base", "with:colon"), upper, work), attributes)
    syscalls.move_mount(mount, syscalls.AT_FDCWD, os.fsencode(stage.root))
    for path, folders, files in os.walk(stage.root):
        print(make.__name__, path.removeprefix(stage.root), sorted(folders), sorted(files))
    open(stage.root + "/written", "w").close()
    try:
        os.close(os.open(stage.root + "/node", os.O_RDONLY))
    except PermissionError:
        print(make.__name__, "nodev")
    syscalls.umount(os.fsencode(stage.root))
def new(layers, attributes):
    return mounts.root(layers, stage)
def old(layers, attributes):
    return mounts.overlay_by_page(layers, attributes, stage.root)
look(new, "new-up", "new-wk", 0)
look(old, "old-up", "old-wk", syscalls.MOUNT_ATTR_NODEV)
try:
    mounts.overlay_by_page(Layers(folder, ("n" * 200,) * 30), 0, stage.root)
except OSError as error:
    print("refused", error.strerror)
"""


def test_the_overlay_of_older_kernels_gives_the_same_tree(bed: Bed) -> None:
    for name in ("new-up", "new-wk", "old-up", "old-wk", "with:colon"):
        (bed.folder / name).mkdir()
    (bed.folder / "with:colon/file").touch()
    os.mknod(bed.folder / "with:colon/node", 0o20666, os.makedev(1, 5))
    argv = [sys.executable, "-SI", "-c", BY_PAGE, REPOSITORY, bed.folder, bed.fresh("place")]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()
    trees = {name: [line[4:] for line in lines if line.startswith(name)] for name in ("new", "old")}
    assert trees["new"] == trees["old"]
    assert trees["new"][-1] == "nodev"
    assert lines[-1] == "refused too many layers for one mount"
    assert (bed.folder / "old-up/written").exists()


# The wire


def test_received_descriptors_are_closed_by_exec() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, b"world", b"launch", [ours.fileno()])
        world, launch, (descriptor,) = wire.receive(theirs)
        assert (world, launch) == (b"world", b"launch")
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
        ours.close()
        with pytest.raises(EOFError):
            wire.receive(theirs)
