"""The jobs of levels.workflow, in Python: loops and names instead of a matrix."""

from stepwood import Spec, Workflow, build, env, job, retry, run, shell, user, workdir

SOURCES = r"""sed -i 's/^deb /deb-src /; s/^Types: deb$/&-src/' $(find /etc/apt/sources.list* -type f)
apt-get update -q
install -d -o 1000 -g 1000 /build"""

archive = build(
    "archive",
    Spec(
        "debian",
        env("LC_ALL", "C.UTF-8"),
        shell("/bin/sh", "-e", "-c"),
        run(
            SOURCES,
            network="host",
            retry=retry(
                attempts=4,
                logs="Could not (resolve|connect)|Temporary failure|Connection (failed|timed out)",
            ),
            timeout="5m",
        ),
        workdir("/build"),
        user(uid=1000, gid=1000),
    ),
)


def level(program: str, level: str) -> Spec:
    return Spec(
        archive,
        env("CFLAGS", f"-{level}"),
        run(f"apt-get source -q --tar-only {program}", network="host", timeout="3m"),
        run(f"tar -xf {program}_*.tar.gz --strip-components=1"),
        run(f'make -s CFLAGS="$CFLAGS -w" {program}'),
        run(f"size {program}"),
    )


workflow = Workflow(
    archive,
    *(
        job(f"{program}-{of}", level(program, of), labels={"program": program, "level": of})
        for program in ("ascii", "tree", "unifdef")
        for of in ("O0", "O2")
    ),
)
