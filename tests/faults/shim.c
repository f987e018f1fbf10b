/* Makes one system call of a process fail, preloaded in front of libc: LD_PRELOAD. `shim.py` compiles and drives it.
 *
 * Only calls from one library count, ferrio's extension module, or from everywhere if none is named. A `connect` counts
 * from everywhere, because Python's socket objects make it. Each kind of call is counted. What is armed happens at the n-th call of a kind, or at every n-th: an error, or a transfer of one byte.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS(X)                                                                                                       \
    X(accept4) X(clone) X(close) X(connect) X(dup3) X(epoll_create1) X(epoll_ctl) X(epoll_pwait2) X(epoll_wait) X(eventfd) X(fcntl)    \
    X(fstat64) X(getsockname) X(getsockopt) X(ioctl) X(kill) X(lseek64) X(open64) X(pidfd_open) X(pidfd_send_signal) X(pipe2) X(poll)       \
    X(ppoll) X(pread64) X(preadv2) X(pthread_create) X(read) X(recv) X(recvfrom) X(send) X(sendfile64) X(sendmsg)      \
    X(sendto) X(shutdown) X(statx) X(timerfd_create) X(timerfd_settime) X(waitid) X(write) X(writev)

#define NUMBER(name) K_##name,
enum kind { CALLS(NUMBER) KINDS };
#define NAME(name) #name,
static const char *const NAMES[] = {CALLS(NAME)};

enum { SHORT = -1 };

static atomic_long counts[KINDS], hits;
static atomic_int armed_kind = -1, counting;
static long armed_moment;
static int armed_error, armed_again;
static uintptr_t low, high;

static void *real(enum kind kind) {
    static void *_Atomic found[KINDS];
    if (!found[kind])
        found[kind] = dlsym(RTLD_NEXT, NAMES[kind]);
    return found[kind];
}

/* What this call does: 0 is what it does always, SHORT moves one byte, a positive number is its error. */
static int fate(enum kind kind, void *caller) {
    int is_ours = !low || kind == K_connect || ((uintptr_t)caller >= low && (uintptr_t)caller < high);
    if (!counting || !is_ours)
        return 0;
    long number = ++counts[kind];
    if ((int)kind != armed_kind || !(armed_again ? number % armed_moment == 0 : number == armed_moment))
        return 0;
    ++hits;
    if (armed_error > 0)
        errno = armed_error;
    return armed_error;
}

static int find_library(struct dl_phdr_info *info, size_t size, void *part) {
    (void)size;
    if (!strstr(info->dlpi_name, part))
        return 0;
    for (int index = 0; index < info->dlpi_phnum; index++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[index];
        if (segment->p_type == PT_LOAD) {
            uintptr_t start = info->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;
            low = low && low < start ? low : start;
            high = high > end ? high : end;
        }
    }
    return 1;
}

/* Whose calls count: those of the library whose path contains this, or all of them (NULL). */
void faults_library(const char *part) {
    low = high = 0;
    if (part)
        dl_iterate_phdr(find_library, (void *)part);
}

int faults_is_limited(void) { return low != 0; }

/* Counts from now on; kind -1 lets nothing fail. */
void faults_begin(int kind, long moment, int error, int again) {
    for (int index = 0; index < KINDS; index++)
        counts[index] = 0;
    hits = 0;
    armed_kind = kind;
    armed_moment = moment;
    armed_error = error;
    armed_again = again;
    counting = 1;
}

/* Returns how often what was armed has happened. */
long faults_end(void) {
    counting = 0;
    armed_kind = -1;
    return hits;
}

const char *faults_name(int kind) { return kind < KINDS ? NAMES[kind] : NULL; }
long faults_count(int kind) { return counts[kind]; }

#define HERE __builtin_return_address(0)
#define REAL(name) ((__typeof__(&name))real(K_##name))
/* The call fails here with -1 if it is to fail. */
#define MAY_FAIL(name)                                                                                                 \
    int fate_of_call = fate(K_##name, HERE);                                                                           \
    if (fate_of_call > 0)                                                                                              \
        return -1
/* What is written to an event or read from it has eight bytes: that is never cut, and it doesn't fail. */
#define IS_EVENT(size) ((size) == 8)
#define CUT(size) ((fate_of_call == SHORT && (size) && !IS_EVENT(size)) ? 1 : (size))

static int is_stream(int fd) {
    int type;
    socklen_t length = sizeof type;
    int (*ask)(int, int, int, void *, socklen_t *) = real(K_getsockopt);
    return ask(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

ssize_t read(int fd, void *room, size_t size) { MAY_FAIL(read); return REAL(read)(fd, room, CUT(size)); }
ssize_t write(int fd, const void *data, size_t size) {
    int fate_of_call = fate(K_write, HERE);
    if (fate_of_call > 0 && (!IS_EVENT(size) || fate_of_call == EINTR))
        return -1;
    return REAL(write)(fd, data, CUT(size));
}
ssize_t pread64(int fd, void *room, size_t size, off64_t at) { MAY_FAIL(pread64); return REAL(pread64)(fd, room, CUT(size), at); }
ssize_t recv(int fd, void *room, size_t size, int flags) {
    MAY_FAIL(recv);
    return REAL(recv)(fd, room, fate_of_call == SHORT && size && is_stream(fd) ? 1 : size, flags);
}
ssize_t send(int fd, const void *data, size_t size, int flags) {
    MAY_FAIL(send);
    return REAL(send)(fd, data, fate_of_call == SHORT && size && is_stream(fd) ? 1 : size, flags);
}
ssize_t recvfrom(int fd, void *restrict room, size_t size, int flags, struct sockaddr *restrict from, socklen_t *restrict length) {
    MAY_FAIL(recvfrom);
    return ((ssize_t(*)(int, void *, size_t, int, struct sockaddr *, socklen_t *))real(K_recvfrom))(fd, room, size, flags, from, length);
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    MAY_FAIL(sendto);
    return ((ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t))real(K_sendto))(fd, data, size, flags, to, length);
}

/* The first byte of what has any. */
static struct iovec first_byte(const struct iovec *parts, size_t count) {
    for (size_t index = 0; index < count; index++)
        if (parts[index].iov_len)
            return (struct iovec){parts[index].iov_base, 1};
    return (struct iovec){NULL, 0};
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    MAY_FAIL(sendmsg);
    if (fate_of_call == SHORT && is_stream(fd)) {
        struct iovec part = first_byte(message->msg_iov, message->msg_iovlen);
        struct msghdr cut = *message;
        cut.msg_iov = &part, cut.msg_iovlen = 1;
        return REAL(sendmsg)(fd, &cut, flags);
    }
    return REAL(sendmsg)(fd, message, flags);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    MAY_FAIL(writev);
    if (fate_of_call == SHORT) {
        struct iovec part = first_byte(parts, count);
        return REAL(writev)(fd, &part, 1);
    }
    return REAL(writev)(fd, parts, count);
}
ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    MAY_FAIL(preadv2);
    if (fate_of_call == SHORT) {
        struct iovec part = first_byte(parts, count);
        return ((ssize_t(*)(int, const struct iovec *, int, off_t, int))real(K_preadv2))(fd, &part, 1, at, flags);
    }
    return ((ssize_t(*)(int, const struct iovec *, int, off_t, int))real(K_preadv2))(fd, parts, count, at, flags);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    MAY_FAIL(sendfile64);
    return REAL(sendfile64)(to, from, at, fate_of_call == SHORT && size ? 1 : size);
}

/* The descriptor is closed in any case, as Linux does it. */
int close(int fd) {
    int fate_of_call = fate(K_close, HERE), error = errno;
    int result = REAL(close)(fd);
    if (fate_of_call > 0) {
        errno = error;
        return -1;
    }
    return result;
}
int accept4(int fd, struct sockaddr *from, socklen_t *length, int flags) {
    MAY_FAIL(accept4);
    return ((int (*)(int, struct sockaddr *, socklen_t *, int))real(K_accept4))(fd, from, length, flags);
}
int connect(int fd, const struct sockaddr *to, socklen_t length) {
    MAY_FAIL(connect);
    return ((int (*)(int, const struct sockaddr *, socklen_t))real(K_connect))(fd, to, length);
}
int getsockname(int fd, struct sockaddr *restrict own, socklen_t *restrict length) {
    MAY_FAIL(getsockname);
    return ((int (*)(int, struct sockaddr *, socklen_t *))real(K_getsockname))(fd, own, length);
}
int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict length) {
    MAY_FAIL(getsockopt);
    return REAL(getsockopt)(fd, level, name, value, length);
}
int shutdown(int fd, int how) { MAY_FAIL(shutdown); return REAL(shutdown)(fd, how); }
int dup3(int from, int to, int flags) { MAY_FAIL(dup3); return REAL(dup3)(from, to, flags); }
int pipe2(int ends[2], int flags) { MAY_FAIL(pipe2); return REAL(pipe2)(ends, flags); }
int kill(pid_t process, int number) { MAY_FAIL(kill); return REAL(kill)(process, number); }
int epoll_create1(int flags) { MAY_FAIL(epoll_create1); return REAL(epoll_create1)(flags); }
int epoll_ctl(int set, int action, int fd, struct epoll_event *event) {
    MAY_FAIL(epoll_ctl);
    return REAL(epoll_ctl)(set, action, fd, event);
}
int epoll_wait(int set, struct epoll_event *events, int room, int timeout) {
    MAY_FAIL(epoll_wait);
    return REAL(epoll_wait)(set, events, room, timeout);
}
int eventfd(unsigned int value, int flags) {
    MAY_FAIL(eventfd);
    return ((int (*)(unsigned int, int))real(K_eventfd))(value, flags);
}
int poll(struct pollfd *fds, nfds_t count, int timeout) { MAY_FAIL(poll); return REAL(poll)(fds, count, timeout); }
int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    MAY_FAIL(ppoll);
    return REAL(ppoll)(fds, count, timeout, mask);
}
int fstat64(int fd, struct stat64 *about) { MAY_FAIL(fstat64); return REAL(fstat64)(fd, about); }
int statx(int folder, const char *restrict path, int flags, unsigned int mask, struct statx *restrict about) {
    MAY_FAIL(statx);
    return ((int (*)(int, const char *, int, unsigned int, struct statx *))real(K_statx))(folder, path, flags, mask, about);
}
off64_t lseek64(int fd, off64_t at, int whence) { MAY_FAIL(lseek64); return REAL(lseek64)(fd, at, whence); }
int timerfd_create(clockid_t clock, int flags) { MAY_FAIL(timerfd_create); return ((int (*)(int, int))real(K_timerfd_create))(clock, flags); }
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old) {
    MAY_FAIL(timerfd_settime);
    return REAL(timerfd_settime)(fd, flags, value, old);
}
int waitid(idtype_t type, id_t id, siginfo_t *about, int options) { MAY_FAIL(waitid); return REAL(waitid)(type, id, about, options); }

/* This one returns its error. */
int pthread_create(pthread_t *thread, const pthread_attr_t *options, void *(*body)(void *), void *argument) {
    int fate_of_call = fate(K_pthread_create, HERE);
    if (fate_of_call > 0)
        return fate_of_call;
    return REAL(pthread_create)(thread, options, body, argument);
}

static long next(va_list *arguments) { return va_arg(*arguments, long); }

int open64(const char *path, int flags, ...) {
    MAY_FAIL(open64);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return REAL(open64)(path, flags, mode);
}
int fcntl(int fd, int action, ...) {
    MAY_FAIL(fcntl);
    va_list arguments;
    va_start(arguments, action);
    long argument = next(&arguments);
    va_end(arguments);
    return REAL(fcntl)(fd, action, argument);
}
int ioctl(int fd, unsigned long action, ...) {
    MAY_FAIL(ioctl);
    va_list arguments;
    va_start(arguments, action);
    long argument = next(&arguments);
    va_end(arguments);
    return REAL(ioctl)(fd, action, argument);
}
int clone(int (*body)(void *), void *stack, int flags, void *argument, ...) {
    MAY_FAIL(clone);
    va_list arguments;
    va_start(arguments, argument);
    long parent = next(&arguments), storage = next(&arguments), child = next(&arguments);
    va_end(arguments);
    return REAL(clone)(body, stack, flags, argument, parent, storage, child);
}
long syscall(long number, ...) {
    static long (*_Atomic call)(long, ...);
    if (!call)
        call = dlsym(RTLD_NEXT, "syscall");
    switch (number) {
    case SYS_pidfd_open: {
        MAY_FAIL(pidfd_open);
        break;
    }
    case SYS_pidfd_send_signal: {
        MAY_FAIL(pidfd_send_signal);
        break;
    }
    case SYS_epoll_pwait2: {
        MAY_FAIL(epoll_pwait2);
        break;
    }
    }
    va_list list;
    va_start(list, number);
    long a = next(&list), b = next(&list), c = next(&list), d = next(&list), e = next(&list), f = next(&list);
    va_end(list);
    return call(number, a, b, c, d, e, f);
}
