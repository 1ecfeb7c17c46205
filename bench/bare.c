/* The floor of a step: the calls that no implementation can do without, and nothing else.
 *
 * bare FOLDER LOWERS STEPS COMMAND: for each step, clone with five namespaces; in the child an overlay of
 * LOWERS layers by the new mount API, chroot, exec `/bin/sh -c COMMAND`; the parent waits. Prints milliseconds a step.
 * FOLDER holds base/ (the lowest layer) and l0/, l1/, … (small layers, each with a file).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call) do { if ((call) < 0) { perror(#call); _exit(125); } } while (0)

static int set(int context, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, context, value ? 1 : 0, key, value, 0);
}

static void child(int lowers, int step, const char *command)
{
    char name[64];
    CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    int context = syscall(SYS_fsopen, "overlay", 0);
    CHECK(context);
    for (int i = lowers - 2; i >= 0; i--) {
        snprintf(name, sizeof name, "l%d", i);
        CHECK(set(context, "lowerdir+", name));
    }
    CHECK(set(context, "lowerdir+", "base"));
    snprintf(name, sizeof name, "up%d", step);
    CHECK(set(context, "upperdir", name));
    snprintf(name, sizeof name, "wk%d", step);
    CHECK(set(context, "workdir", name));
    CHECK(set(context, "volatile", NULL));
    CHECK(syscall(SYS_fsconfig, context, 6, NULL, NULL, 0));
    int root = syscall(SYS_fsmount, context, 0, 0);
    CHECK(root);
    CHECK(syscall(SYS_move_mount, root, "", AT_FDCWD, "mnt", 4));
    CHECK(chroot("mnt"));
    CHECK(chdir("/"));
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    perror("exec");
    _exit(127);
}

int main(int argc, char **argv)
{
    if (argc != 5) return 2;
    int lowers = atoi(argv[2]), steps = atoi(argv[3]);
    char name[64];
    struct timespec from, to;
    CHECK(chdir(argv[1]));
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int step = 0; step < steps; step++) {
        snprintf(name, sizeof name, "up%d", step);
        CHECK(mkdir(name, 0755));
        snprintf(name, sizeof name, "wk%d", step);
        CHECK(mkdir(name, 0755));
        struct clone_args args = {
            .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
            .exit_signal = SIGCHLD,
        };
        pid_t pid = syscall(SYS_clone3, &args, sizeof args);
        CHECK(pid);
        if (pid == 0) child(lowers, step, argv[4]);
        int status;
        CHECK(waitpid(pid, &status, 0));
        if (status) { fprintf(stderr, "step %d: status %d\n", step, status); return 1; }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%.4f\n", ((to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6) / steps);
    return 0;
}
