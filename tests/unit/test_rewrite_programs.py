# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs on a rewritten C library behave as before, with no kernel module anywhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from rewrite_support import LIBC, LOADER, Rewritten

from kmltui.kml.rewrite import rewrite_elf
from kmltui.kml.rewrite.elf import Elf

PROGRAMS = sorted(p.name for p in (Path(__file__).parent.parent / "programs").glob("*.c*"))
ARGUMENTS = {"cancel.c": ["10"]}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_run(rewritten: Rewritten, programs: Path, name: str) -> None:
    done = rewritten.run(rewritten.compile(programs / name), *ARGUMENTS.get(name, []))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_loader_runs_programs_as_a_command(rewritten: Rewritten) -> None:
    loader = rewritten.lib / LOADER
    done = rewritten.run(loader, "--library-path", rewritten.lib, "/bin/sh", "-c", "echo $0 $1; exit 3", "a", "b")
    assert (done.returncode, done.stdout) == (3, "a b\n")
    assert rewritten.run(loader, "--version").returncode == 0


def test_the_c_library_runs_as_a_program(rewritten: Rewritten) -> None:
    done = rewritten.run(rewritten.lib / LOADER, "--library-path", rewritten.lib, rewritten.lib / LIBC)
    assert done.returncode == 0
    assert "GNU C Library" in done.stdout


COUNTING = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Takes the place of the slow code and counts the calls that come through a thunk. */
extern char counting[];
long counted;
__asm__(".text\ncounting: lock incq counted(%rip)\n\tlea -2(%rcx), %r11\n\tjmp *%r11");

#define COUNT(call) do { long before = counted; (void)(call); printf("%s %ld\n", #call, counted - before); } while (0)

static void *thread(void *argument) { return argument; }

int main(void)
{
    static char buffer[64];
    struct iovec vector = { buffer, 1 };
    int zero = open("/dev/zero", O_RDWR), sockets[2], epoll = epoll_create1(0);
    struct pollfd polled = { .fd = zero, .events = POLLIN };
    struct epoll_event event;
    struct timespec none = { 0, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    pthread_t id;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets);
    pthread_create(&id, NULL, thread, NULL); /* from now on there have been threads: cancellation, locks */
    pthread_join(id, NULL);
    printf("\n");
    mprotect((void *)0x10000, 4096, PROT_READ | PROT_WRITE);
    *(char *volatile *)0x10000 = counting;
    COUNT(read(zero, buffer, 1));
    COUNT(write(zero, buffer, 1));
    COUNT(pread(zero, buffer, 1, 0));
    COUNT(pwrite(zero, buffer, 1, 0));
    COUNT(readv(zero, &vector, 1));
    COUNT(writev(zero, &vector, 1));
    COUNT(getppid());
    COUNT(syscall(SYS_getppid));
    COUNT(poll(&polled, 1, 0));
    COUNT(ppoll(&polled, 1, &none, NULL));
    COUNT(select(0, NULL, NULL, NULL, &(struct timeval){ 0, 1 }));
    COUNT(epoll_wait(epoll, &event, 1, 0));
    COUNT(epoll_pwait(epoll, &event, 1, 0, NULL));
    COUNT(send(sockets[0], buffer, 1, 0));
    COUNT(recv(sockets[1], buffer, 1, 0));
    COUNT(sendto(sockets[0], buffer, 1, 0, NULL, 0));
    COUNT(recvfrom(sockets[1], buffer, 1, 0, NULL, NULL));
    COUNT(sendmsg(sockets[0], &message, 0));
    COUNT(recvmsg(sockets[1], &message, 0));
    COUNT(nanosleep(&none, NULL));
    COUNT(clock_nanosleep(CLOCK_MONOTONIC, 0, &none, NULL));
    COUNT(accept(zero, NULL, NULL));
    COUNT(accept4(zero, NULL, NULL, 0));
    COUNT(connect(zero, NULL, 0));
    COUNT(fsync(zero));
    COUNT(fdatasync(zero));
    COUNT(lseek(zero, 0, SEEK_SET));
    COUNT(close(dup(zero)));
    COUNT(pthread_mutex_lock(&mutex));
    COUNT(munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096));
    return 0;
}
"""


def test_calls_come_through_thunks(rewritten: Rewritten) -> None:
    done = rewritten.run(rewritten.compile(COUNTING))
    counts = dict(line.rsplit(" ", 1) for line in done.stdout.split("\n") if line)
    assert len(counts) == 30
    expected = dict.fromkeys(counts, "1")
    for call in counts:
        if call.startswith("pthread_mutex_lock"):
            expected[call] = "0"  # nobody else wants it
        elif "dup" in call or "munmap" in call:
            expected[call] = "2"
    # glibc 2.41's cancellable calls go past the slow code: their function has moved and has a `syscall` of its own.
    moved = any(site.method == "moved" for site in rewritten.file(LIBC).sites)
    if moved:
        assert {counts[c] for c in counts} <= {"0", "1", "2"}
    else:
        assert counts == expected


STEPPING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

static volatile int stepping, steps, added, lost;
static char reported[4096];
static unsigned long low[2], high[2];
static void *marker;

struct search { void *wanted; int found; };

static _Unwind_Reason_Code look(struct _Unwind_Context *context, void *argument)
{
    struct search *search = argument;
    search->found = _Unwind_FindEnclosingFunction((void *)_Unwind_GetIP(context)) == search->wanted;
    return search->found ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

/* At every single instruction: does the way up from here lead to the function that made the call? */
static void on_step(int signal, siginfo_t *info, void *context)
{
    unsigned long ip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    struct search search = { marker, 0 };

    if (!stepping)
        return;
    steps++;
    for (int i = 0; i < 2; i++)
        added += ip >= low[i] && ip < high[i];
    _Unwind_Backtrace(look, &search);
    if (!search.found) {
        lost++;
        if (strlen(reported) < 4000)
            sprintf(reported + strlen(reported), "%lx ", ip);
    }
}

#define STEP(call) do { \
    stepping = 1; \
    __asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf" ::: "memory", "cc"); \
    call; \
    __asm__ volatile("pushf\n\tandl $~0x100, (%%rsp)\n\tpopf" ::: "memory", "cc"); \
    stepping = 0; } while (0)

__attribute__((noinline)) static void calls(int zero, int *sockets)
{
    static char buffer[8];
    struct pollfd polled = { .fd = zero, .events = POLLIN };

    STEP(read(zero, buffer, 1));
    STEP(write(zero, buffer, 1));
    STEP(getppid());
    STEP(syscall(SYS_getppid));
    STEP(poll(&polled, 1, 0));
    STEP(send(sockets[0], buffer, 1, 0));
    STEP(recv(sockets[1], buffer, 1, 0));
    STEP(pread(zero, buffer, 1, 0));
    STEP(close(dup(zero)));
    STEP(usleep(1));
    STEP(fsync(zero));
    STEP(isatty(zero));
}

static void *in_thread(void *argument)
{
    calls(((int *)argument)[0], (int *)argument + 1);
    return NULL;
}

int main(int argc, char **argv)
{
    int files[3];
    struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
    struct search none = { NULL, 0 };
    pthread_t thread;
    char line[512], *path;

    for (int i = 0; i < 2; i++) {
        unsigned long start, end;
        FILE *maps = fopen("/proc/self/maps", "r");
        while (fgets(line, sizeof(line), maps))
            if ((path = strchr(line, '/')) && strncmp(path, argv[1 + i * 3], strlen(argv[1 + i * 3])) == 0) {
                sscanf(line, "%lx-%lx", &start, &end);
                sscanf(argv[2 + i * 3], "%lx", &low[i]);
                sscanf(argv[3 + i * 3], "%lx", &high[i]);
                low[i] += start;
                high[i] += start;
                break;
            }
        fclose(maps);
    }
    files[0] = open("/dev/zero", O_RDWR);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, files + 1);
    marker = calls;
    _Unwind_Backtrace(look, &none);
    sigaction(SIGTRAP, &action, NULL);
    calls(files[0], files + 1);
    pthread_create(&thread, NULL, in_thread, files);
    pthread_join(thread, NULL);
    printf("%d %d %d %s\n", steps, added, lost, reported);
    return 0;
}
"""


def test_every_instruction_on_the_way_into_the_kernel_can_be_unwound(rewritten: Rewritten) -> None:
    """By single steps through calls, with the unwinder that C++ exceptions and cancellation use."""
    arguments: list[str | Path] = []
    for name in (LIBC, LOADER):
        text = next(s for s in Elf.parse((rewritten.lib / name).read_bytes()).sections if s.name == ".kml.text")
        arguments += [rewritten.lib / name, f"{text.addr:x}", f"{text.addr + text.size:x}"]
    program = rewritten.compile(STEPPING)
    done = rewritten.run(program, *arguments)
    steps, added, lost, *where = done.stdout.split()
    assert int(steps) > 500
    assert int(added) >= 2 * 12 * 3
    assert (int(lost), where) == (0, [])


REFUSING = r"""
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Runs a program that may not map anything at 0x10000. */
int main(int argc, char **argv)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 9, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x10000, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = 6, .filter = filter };

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    execv(argv[1], argv + 1);
    return 1;
}
"""


def test_without_its_page_a_program_says_so_and_ends(rewritten: Rewritten) -> None:
    done = rewritten.run(rewritten.compile(REFUSING, plain=True), rewritten.compile("int main(void){return 0;}"))
    assert done.returncode == 127
    assert "0x10000" in done.stderr


STATIC = '#include <stdio.h>\nint main(int c, char **v) { return printf("%s %d\\n", v[1], c) < 0; }'


static_programs = pytest.mark.parametrize(
    "flags", [("-static",), ("-static-pie",)], ids=["fixed", "position-independent"]
)


def rewritten_program(program: Path, out: Path) -> Path:
    """A static program of which nearly all calls were redirected."""
    result = rewrite_elf(program.read_bytes(), "static")
    assert result is not None and result.data is not None
    assert sum(site.method == "left alone" for site in result.report.sites) < len(result.report.sites) / 10
    out.write_bytes(result.data)
    out.chmod(0o755)
    return out


@static_programs
def test_static_programs_work(rewritten: Rewritten, flags: tuple[str, ...], tmp_path: Path) -> None:
    program = rewritten_program(rewritten.compile(STATIC, *flags, plain=True), tmp_path / "static")
    assert rewritten.run(program, "word").stdout == "word 2\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threads.c", "signals.c", "processes.c", "registers.c", "cancel.c"])
def test_static_programs_do_what_others_do(rewritten: Rewritten, programs: Path, name: str, tmp_path: Path) -> None:
    program = rewritten_program(rewritten.compile(programs / name, "-static", plain=True), tmp_path / "static")
    done = rewritten.run(program, *ARGUMENTS.get(name, []))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@static_programs
def test_every_instruction_of_a_static_program_on_the_way_into_the_kernel_can_be_unwound(
    rewritten: Rewritten, flags: tuple[str, ...], tmp_path: Path
) -> None:
    """It has no list of its functions for the unwinder, which finds those of its own in another way."""
    program = rewritten_program(rewritten.compile(STEPPING, *flags, plain=True), tmp_path / "static")
    elf = Elf.parse(program.read_bytes())
    text = next(s for s in elf.sections if s.name == ".kml.text")
    start = text.addr - elf.loads[0].vaddr
    done = rewritten.run(program, program, f"{start:x}", f"{start + text.size:x}", "/nowhere", "0", "0")
    steps, added, lost, *where = done.stdout.split()
    assert int(steps) > 500
    assert int(added) >= 2 * 12 * 3
    assert (int(lost), where) == (0, [])


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb")
def test_a_debugger_sees_the_caller_at_every_step(rewritten: Rewritten) -> None:
    program = rewritten.compile("#include <unistd.h>\nint main(void) { return isatty(0); }", "-g", "-O0")
    commands = ["break main", "run", "break tcgetattr", "continue", *["stepi", "x/i $pc", "bt -1"] * 12]
    arguments = [a for command in commands for a in ("-ex", command)]
    done = subprocess.run(
        ["gdb", "-nx", "-q", "-batch", *arguments, program], capture_output=True, text=True, timeout=60, check=False
    )
    if "ptrace" in done.stderr:
        pytest.skip("ptrace is not permitted here")
    outermost = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert "*0x10000" in done.stdout
    assert len(outermost) == 12
    assert all("main () at" in line for line in outermost), done.stdout
