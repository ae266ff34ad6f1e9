/* Holds a process at a chosen write to a segment of the spool, before the system is asked or after it has answered, so that
 * it can be killed there.
 *
 * The spool asks the system without the C library, so the system itself is told to hand each pwritev over: a filter raises
 * SIGSYS, whose handler looks at the file and the length, and repeats the call with a sixth argument that the filter lets
 * pass. KILL_POINT names a file with four numbers of 64 bits: which point is wanted (0 none, 1 before a write of records,
 * 2 after one, 3 before a write of marks, 4 after one), how many writes of records must have been seen, how many have been,
 * and whether the point is reached. A thread that reached it waits there for ever. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

/* a record has more, a mark less */
#define RECORD_BYTES 512
#define PASS 0x4b494c4c

struct point {
    volatile int64_t wanted, after_records, records, reached;
};

static struct point *point;

static int is_segment(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 8)
        return 0;
    path[length] = 0;
    return strcmp(path + length - 8, ".segment") == 0;
}

static void wait_at(int64_t here) {
    if (point->wanted != here || point->records < point->after_records)
        return;
    point->reached = 1;
    for (;;)
        pause();
}

static void on_write(int signal, siginfo_t *info, void *context) {
    ucontext_t *machine = context;
    int errno_before = errno;
    (void)signal;
    (void)info;
#if defined(__x86_64__)
    greg_t *registers = machine->uc_mcontext.gregs;
    long file = registers[REG_RDI], parts = registers[REG_RSI], count = registers[REG_RDX];
    long low = registers[REG_R10], high = registers[REG_R8];
#elif defined(__aarch64__)
    unsigned long long *registers = machine->uc_mcontext.regs;
    long file = registers[0], parts = registers[1], count = registers[2], low = registers[3], high = registers[4];
#else
#error "no names for the registers of this machine"
#endif
    int of_segment = is_segment((int)file), of_records = 0;
    if (of_segment) {
        const struct iovec *part = (const struct iovec *)parts;
        size_t bytes = 0;
        for (long at = 0; at < count; at++)
            bytes += part[at].iov_len;
        of_records = bytes >= RECORD_BYTES;
        if (of_records)
            point->records++;
        wait_at(of_records ? 1 : 3);
    }
    long result = syscall(SYS_pwritev, file, parts, count, low, high, (long)PASS);
    if (result < 0)
        result = -errno;
    errno = errno_before;
    if (of_segment)
        wait_at(of_records ? 2 : 4);
#if defined(__x86_64__)
    registers[REG_RAX] = result;
#else
    registers[0] = (unsigned long long)result;
#endif
}

/* Threads that block every signal must not block this one. */
int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict before) {
    sigset_t without;
    if (set) {
        without = *set;
        sigdelset(&without, SIGSYS);
        set = &without;
    }
    return syscall(SYS_rt_sigprocmask, how, set, before, 8) == 0 ? 0 : errno;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("KILL_POINT");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof *point, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED)
        abort();
    point = mapped;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_write;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PASS, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (sigaction(SIGSYS, &action, NULL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        abort();
}
