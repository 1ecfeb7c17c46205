"""One suite for all sandboxes: what a step finds around it, and what it cannot reach."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxes.sandbox import HOSTS, MASKED, READONLY, ROOT, Command, Sandbox
from system.launch import Data, Folder, Ids, Launch, Layers, Mount
from tests.system.bed import PATH, Bed, Ended, mounted, processes

pytestmark = pytest.mark.root

TWELVE = 0xA80401FB
USER = Ids(1000, 1000)
NODES = {"null", "zero", "full", "random", "urandom", "tty"}
AROUND = {"pts", "ptmx", "shm", "mqueue", "fd", "stdin", "stdout", "stderr"}

Step = Callable[..., Ended]


@pytest.fixture
def make(sandbox: Sandbox, sandbox_bed: Bed) -> Callable[..., Launch]:
    """The launch of a shell script in the sandbox."""

    def make(
        script: str | tuple[str, ...],
        *mounts: Mount,
        user: Ids = ROOT,
        cwd: str = "/",
        env: tuple[tuple[str, str], ...] = PATH,
        host_network: bool = False,
        root: Layers | None = None,
    ) -> Launch:
        argv = ("/bin/sh", "-c", script) if isinstance(script, str) else script
        command = Command(argv, env, cwd, user, host_network, mounts)
        return sandbox.launch(command, root or sandbox_bed.root(), str(sandbox_bed.fresh("scratch")))

    return make


@pytest.fixture
def step(make: Callable[..., Launch], sandbox_bed: Bed) -> Step:
    """Run a shell script in the sandbox to its end."""
    return lambda *arguments, **options: sandbox_bed.run(make(*arguments, **options))


def fields(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def test_it_works_here(sandbox: Sandbox) -> None:
    sandbox.check()


def test_the_launch_is_pure(sandbox: Sandbox) -> None:
    command, root = Command(("true",), mounts=(Mount("/c", Folder("/nowhere")),)), Layers("/nowhere", ("a", "b"))
    assert sandbox.launch(command, root, "/none") == sandbox.launch(command, root, "/none")
    assert not Path("/none").exists()


# Power


def test_root_has_the_twelve_capabilities(step: Step) -> None:
    status = fields(step("cat /proc/self/status").text)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd"):
        assert int(status[kind], 16) == TWELVE, kind
    assert int(status["CapAmb"], 16) == 0


def test_a_user_has_none(step: Step) -> None:
    status = fields(step("cat /proc/self/status", user=Ids(1000, 1000, (7, 8))).text)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert int(status["CapBnd"], 16) == TWELVE
    assert status["Uid"].split() == status["Gid"].split() == ["1000"] * 4
    assert set(status["Groups"].split()) - {"1000"} == {"7", "8"}


def test_sudo_could_work_point_6(step: Step) -> None:
    ended = step("grep NoNewPrivs /proc/self/status; grep ' / ' /proc/mounts")
    privileges, root = ended.text.splitlines()
    assert privileges.split()[1] == "0"
    assert "nosuid" not in root.split()[3].split(",")


def test_1024_open_files_point_6(step: Step) -> None:
    assert step("ulimit -Sn; ulimit -Hn").text.split() == ["1024", "1024"]


def test_umask(step: Step) -> None:
    assert step("umask").text.strip() == "0022"


def test_no_signal_is_ignored_or_blocked(step: Step) -> None:
    status = fields(step(("/bin/cat", "/proc/self/status")).text)
    ours = ~(3 << 31)  # 32 and 33 are the C library's own: nobody can set them, and a runtime may hand them on
    assert int(status["SigIgn"], 16) & ours == int(status["SigBlk"], 16) & ours == 0


def test_no_descriptor_is_inherited(step: Step) -> None:
    assert step("echo /proc/self/fd/*").text.split() == [f"/proc/self/fd/{n}" for n in (0, 1, 2, 3)]  # 3: the listing's


# Namespaces


def test_the_namespaces_are_its_own(step: Step) -> None:
    kinds = ("pid", "mnt", "ipc", "uts", "net")
    inside = step("; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds)).text.split()
    for kind, name in zip(kinds, inside, strict=True):
        assert name.startswith(f"{kind}:")
        assert name != os.readlink(f"/proc/self/ns/{kind}")


def test_pid_1_in_a_fresh_proc_point_2(step: Step) -> None:
    me, *others = step("echo $$; echo /proc/[0-9]*").text.split()
    assert me == "1"
    assert others == ["/proc/1"]


def test_only_loopback_and_it_is_up(step: Step) -> None:
    ended = step("ls /sys/class/net; cat /sys/class/net/lo/flags; tail -n +3 /proc/net/dev | cut -d: -f1")
    name, flags, listed = ended.text.split()
    assert (name, listed) == ("lo", "lo")
    assert int(flags, 16) & 1


def test_host_network_sees_the_hosts_interfaces(step: Step) -> None:
    ended = step("readlink /proc/self/ns/net; tail -n +3 /proc/net/dev | cut -d: -f1", host_network=True)
    name, *interfaces = ended.text.split()
    assert name == os.readlink("/proc/self/ns/net")
    assert sorted(interfaces) == sorted(each for _, each in socket.if_nameindex())


def test_hostname(step: Step) -> None:
    assert step("hostname").text.strip() == "builder"


def test_steps_do_not_share_shm(make: Callable[..., Launch], sandbox_bed: Bed) -> None:
    with sandbox_bed.job(make("echo x > /dev/shm/mine; echo ready; sleep 60")) as other:
        assert other.line() == "ready"
        assert sandbox_bed.run(make("ls -A /dev/shm")).text == ""


def test_nothing_is_mounted_in_the_hosts_namespace(make: Callable[..., Launch], sandbox_bed: Bed) -> None:
    before = mounted()
    with sandbox_bed.job(make("echo ready; sleep 60")) as job:
        assert job.line() == "ready"
        assert mounted() == before
        job.started.kill()
        assert job.end().status == 137
    assert mounted() == before


def test_no_cgroup_is_made_point_2(make: Callable[..., Launch], sandbox_bed: Bed) -> None:
    def groups() -> set[str]:
        return {folder for folder, _, _ in os.walk("/sys/fs/cgroup")}

    before = groups()
    with sandbox_bed.job(make("echo ready; sleep 60")) as job:
        assert job.line() == "ready"
        assert groups() == before


# Files


def test_dev(step: Step) -> None:
    names = set(step("ls -A /dev").text.split())
    assert NODES | AROUND <= names <= NODES | AROUND | {"core"}
    ended = step("echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c", user=USER)
    assert ended.text.split() == ["3", "5"]
    assert step("stat -L -c '%t,%T' " + " ".join(f"/dev/{name}" for name in sorted(NODES))).text.split() == [
        "1,7", "1,3", "1,8", "5,0", "1,9", "1,5",
    ]  # fmt: skip


def test_masked_paths_read_as_empty(step: Step) -> None:
    script = "for p in {}; do if [ -d $p ]; then ls -A $p; elif [ -e $p ]; then cat $p; fi; done; echo end"
    assert step(script.format(" ".join(MASKED))).text == "end\n"


def test_read_only_paths(step: Step) -> None:
    host = Path("/proc/sys/kernel/hostname").read_text()
    assert step("echo spoiled > /proc/sys/kernel/hostname").status != 0
    assert step("echo spoiled > /proc/sys/vm/overcommit_memory").status != 0
    assert Path("/proc/sys/kernel/hostname").read_text() == host
    lines = [line.split() for line in step("cat /proc/mounts").text.splitlines()]
    options = {line[1]: line[3].split(",") for line in lines}
    for path in READONLY:
        if Path(path).exists():
            assert "ro" in options[path], path
    assert "ro" in options["/sys"]


def test_a_secret_is_read_only_point_6(step: Step) -> None:
    secret = Mount("/run/secrets/token", Data(b"hush", 0o400), readonly=True)
    assert step("cat /run/secrets/token; stat -c ' %a' /run/secrets/token", secret).text == "hush 400\n"
    assert step("exec 2>&1; echo loud > /run/secrets/token || cat /run/secrets/token", secret).text.endswith("hush")
    assert step("rm /run/secrets/token", secret).status != 0
    assert step("cat /run/secrets/token", secret, user=USER).status != 0


def test_a_secret_can_be_a_users(step: Step) -> None:
    secret = Mount("/home/user/token", Data(b"hush", 0o400, 1000, 1000), readonly=True)
    assert step("cat /home/user/token", secret, user=USER).text == "hush"


def test_hosts_is_read_only_point_6(step: Step) -> None:
    ended = step("exec 2>&1; echo spoiled > /etc/hosts; cat /etc/hosts")
    assert ended.text.encode().endswith(HOSTS)
    assert "spoiled" not in ended.text


def test_resolv_conf_only_with_the_hosts_network_and_read_only_point_6(step: Step) -> None:
    host = Path("/etc/resolv.conf").read_text()
    spoil = "exec 2>&1; echo '# spoiled' >> /etc/resolv.conf; cat /etc/resolv.conf"
    assert step(spoil, host_network=True).text.endswith(host)
    assert Path("/etc/resolv.conf").read_text() == host
    assert step("test -e /etc/resolv.conf").status == 1


def test_an_image_whose_resolv_conf_is_a_dangling_link(step: Step, sandbox_bed: Bed) -> None:
    upper = sandbox_bed.fresh("upper")
    (upper / "etc").mkdir()
    (upper / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    ended = step("cat /etc/resolv.conf", host_network=True, root=sandbox_bed.root(upper))
    assert ended.text == Path("/etc/resolv.conf").read_text()


def test_a_cache_is_writable_and_stays(step: Step, sandbox_bed: Bed) -> None:
    kept = sandbox_bed.fresh("cache")
    cache = Mount("/var/cache/things", Folder(str(kept)))
    assert step("echo one > /var/cache/things/file", cache).status == 0
    assert step("cat /var/cache/things/file", cache).text == "one\n"
    assert (kept / "file").read_text() == "one\n"


def test_a_cache_may_be_layers_point_12(step: Step, sandbox_bed: Bed) -> None:
    lower, upper, work = (sandbox_bed.fresh(name) for name in ("lower", "upper", "work"))
    (lower / "old").write_text("old\n")
    cache = Mount("/cache", Layers(str(sandbox_bed.folder), (lower.name,), upper.name, work.name))
    assert step("cat /cache/old; echo new > /cache/new", cache).text == "old\n"
    assert (upper / "new").read_text() == "new\n"
    assert not (lower / "new").exists()


def test_no_device_node_can_be_opened_point_5(step: Step, sandbox_bed: Bed) -> None:
    cache = Mount("/cache", Folder(str(sandbox_bed.fresh("cache"))))
    for folder in ("/", "/tmp", "/dev", "/dev/shm", "/cache"):
        ended = step(f"mknod {folder}/node c 1 5 && head -c 1 {folder}/node && echo opened", cache)
        assert ended.status != 0, folder
        assert "opened" not in ended.text
    assert step("mkfifo /tmp/pipe && mknod /tmp/other p").status == 0


def test_a_device_node_of_the_image_or_cache_cannot_be_opened_point_5(step: Step, sandbox_bed: Bed) -> None:
    upper, kept = sandbox_bed.fresh("upper"), sandbox_bed.fresh("cache")
    for folder in (upper, kept):
        os.mknod(folder / "node", 0o20666, os.makedev(1, 5))
    for path in ("/node", "/cache/node"):
        ended = step(f"head -c 1 {path}", Mount("/cache", Folder(str(kept))), root=sandbox_bed.root(upper))
        assert ended.status != 0, path
        upper = sandbox_bed.fresh("upper")
        os.mknod(upper / "node", 0o20666, os.makedev(1, 5))


def test_a_step_that_does_nothing_leaves_an_empty_upper_point_4(step: Step, sandbox_bed: Bed) -> None:
    upper = sandbox_bed.fresh("upper")
    assert step(":", root=sandbox_bed.root(upper)).status == 0
    assert [path for path in upper.rglob("*") if path.is_file()] == []
    assert {path.name for path in upper.iterdir()} <= {"dev"}  # a runtime may touch the folder below its /dev


@pytest.mark.parametrize("link", ["{}", "/..{}", "../../../../../..{}"])
def test_a_planted_link_leads_into_the_tree_point_3(step: Step, sandbox_bed: Bed, link: str) -> None:
    host, kept = sandbox_bed.fresh("host"), sandbox_bed.fresh("cache")
    (kept / "cached").touch()
    upper = sandbox_bed.fresh("upper")
    (upper / "var").symlink_to(link.format(host))
    mounts = (Mount("/var/cache", Folder(str(kept))), Mount("/var/token", Data(b"hush"), readonly=True))
    ended = step("ls /var/cache; cat /var/token; touch /var/cache/made", *mounts, root=sandbox_bed.root(upper))
    # The link either is followed inside the tree or keeps the step from starting.
    assert (ended.status, ended.text) == (0, "cached\nhush") or ended.status != 0
    assert list(host.iterdir()) == []


def test_a_step_cannot_leave_its_root(step: Step, sandbox_bed: Bed) -> None:
    (sandbox_bed.folder / "mark").touch()
    mark = sandbox_bed.folder / "mark"
    assert step(f"ls {mark} /..{mark} /../..{mark} /proc/1/root{mark}").status != 0
    assert step("ls -di / /.. | sed 's/ .*//' | sort -u | wc -l").text.strip() == "1"


# Starting and ending


def test_exit_status(step: Step) -> None:
    assert step("exit 7").status == 7
    assert step("true").status == 0


def test_output_of_both_kinds_and_no_input(step: Step) -> None:
    # In any order: runc has a pipe of its own for each and copies from there.
    assert sorted(step("echo out; echo err >&2; wc -c").text.split()) == ["0", "err", "out"]


def test_a_shells_127_and_126(step: Step) -> None:
    assert step("no-such-program").status == 127
    assert step("/etc/passwd").status == 126


def test_a_program_that_cannot_start(step: Step, sandbox: Sandbox) -> None:
    """A runtime has one status for all it cannot do."""
    missing, forbidden = step(("/no/such",)), step(("/etc/passwd",))
    assert "/no/such" in missing.text
    expected = (127, 126) if sandbox.name == "namespaces" else (1, 1)
    assert (missing.status, forbidden.status) == expected


def test_killed_by_a_signal(step: Step) -> None:
    assert step("sh -c 'kill -9 $$'; exit $?").status == 137


def test_arguments_arrive_as_they_are(step: Step) -> None:
    odd = 'a "b" \\ $c \n é'
    assert step(("/bin/echo", "-n", odd)).text == odd
    assert step('echo -n "$ODD"', env=(*PATH, ("ODD", odd))).text == odd


def test_a_missing_working_directory_is_made(step: Step) -> None:
    assert step("pwd; stat -c %a .", cwd="/a/b c").text == "/a/b c\n755\n"
    assert step("pwd", cwd="/new/place", user=USER).text == "/new/place\n"


def test_home(step: Step) -> None:
    assert step("echo $HOME").text == "/root\n"
    assert step("echo $HOME", user=USER).text == "/home/user\n"
    assert step("echo $HOME", user=Ids(4321, 4321)).text in ("/\n", "\n")  # crun gives a stranger none
    assert step("echo $HOME", env=(*PATH, ("HOME", "/given"))).text == "/given\n"


def test_orphans_die_with_the_step_point_1(step: Step) -> None:
    mark = f"86400.{time.time_ns()}"
    assert step(f"(setsid sleep {mark} &) ; (setsid setuidgid 2>/dev/null sleep {mark} &); sleep 0.1").status == 0
    assert processes(mark) == []


def test_terminate_ends_a_deaf_shell_at_once_point_1(make: Callable[..., Launch], sandbox_bed: Bed) -> None:
    for script, status in (("echo ready; exec sleep 60", 137), ("echo ready; sleep 60; exit 3", 3)):
        with sandbox_bed.job(make(script)) as job:
            assert job.line() == "ready"
            time.sleep(0.1)
            began = time.monotonic()
            job.started.terminate()
            assert job.end().status == status
            assert time.monotonic() - began < 2


def test_terminate_lets_a_trap_finish_point_1(make: Callable[..., Launch], sandbox_bed: Bed) -> None:
    with sandbox_bed.job(make("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.1; done")) as job:
        assert job.line() == "ready"
        job.started.terminate()
        ended = job.end()
    assert ended.status == 5
    assert "bye" in ended.text.splitlines()  # the shell may tell of its `sleep` too
