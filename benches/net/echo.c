/* The limit: what the servers of servers.py do, in C on epoll, with nothing between the kernel and the work.
 *
 *   echo (--tcp | --unix PATH | --udp) [--tls CERTIFICATE KEY] [--program echo|lines|exactly|one-write|two-writes]
 *
 * Prints its port as a line of JSON, and serves until it is ended.
 *
 * Invariant: two system calls per message besides a share of epoll_wait, and no copy of a message that leaves at once. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

#define BUFFER (256 << 10)
/* cells.py has the same figures. */
#define BATCH 100
#define RECORD 16
#define REQUEST 64
#define HEADER 100
#define BODY 900

struct connection {
    int fd;
    char *rest; /* what didn't fit into the socket yet */
    size_t rest_length, rest_sent;
    size_t seen; /* lines, or bytes of the current record or batch */
    bool in_handshake;
#ifdef WITH_TLS
    SSL *ssl;
#endif
};

enum { ECHO, LINES, EXACTLY, ONE_WRITE, TWO_WRITES };
static const char *const PROGRAMS[] = {"echo", "lines", "exactly", "one-write", "two-writes"};
static int program = ECHO, poller;
static char buffer[BUFFER], header[HEADER + BODY];
#ifdef WITH_TLS
static SSL_CTX *context;
#endif

static void fail(const char *what)
{
    fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void finish(struct connection *it)
{
#ifdef WITH_TLS
    if (it->ssl)
        SSL_free(it->ssl);
#endif
    close(it->fd);
    free(it->rest);
    free(it);
}

static void watch(struct connection *it, int operation, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = it};
    if (epoll_ctl(poller, operation, it->fd, &event))
        fail("epoll_ctl");
}

/* Bytes moved; 0: the stream has ended; -1: not now. */
static ssize_t take(struct connection *it)
{
#ifdef WITH_TLS
    if (it->ssl) {
        int got = SSL_read(it->ssl, buffer, BUFFER);
        if (got > 0)
            return got;
        return SSL_get_error(it->ssl, got) == SSL_ERROR_WANT_READ ? -1 : 0;
    }
#endif
    ssize_t got = recv(it->fd, buffer, BUFFER, 0);
    return got >= 0 ? got : errno == EAGAIN ? -1 : 0;
}

static ssize_t put(struct connection *it, const char *data, size_t length)
{
#ifdef WITH_TLS
    if (it->ssl) {
        int sent = SSL_write(it->ssl, data, length);
        return sent > 0 ? sent : 0;
    }
#endif
    ssize_t sent = send(it->fd, data, length, MSG_NOSIGNAL);
    return sent >= 0 || errno == EAGAIN ? (sent > 0 ? sent : 0) : -1;
}

/* Sends, and keeps what doesn't fit. Returns whether the connection is alive. */
static bool reply(struct connection *it, const char *data, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t sent = put(it, data + done, length - done);
        if (sent < 0)
            return false;
        if (sent == 0)
            break;
        done += sent;
    }
    if (done < length) {
        it->rest = malloc(length - done);
        it->rest_length = length - done;
        it->rest_sent = 0;
        memcpy(it->rest, data + done, length - done);
        watch(it, EPOLL_CTL_MOD, EPOLLOUT); /* no reading until the rest has been sent */
    }
    return true;
}

static bool reply_in_two(struct connection *it)
{
    struct iovec parts[2] = {{header, HEADER}, {header + HEADER, BODY}};
    return writev(it->fd, parts, 2) == HEADER + BODY;
}

static bool serve(struct connection *it, size_t length)
{
    size_t batches = 0;
    char record[RECORD];
    switch (program) {
    case ECHO:
        return reply(it, buffer, length);
    case LINES:
        for (char *at = buffer, *end = buffer + length; (at = memchr(at, '\n', end - at)); at++)
            it->seen++;
        batches = it->seen / BATCH, it->seen %= BATCH;
        break;
    case EXACTLY:
        for (size_t at = 0; at < length; at += RECORD)
            memcpy(record, buffer + at, length - at < RECORD ? length - at : RECORD);
        __asm__ volatile("" : : "r"(record) : "memory"); /* the copies are the work: don't let the compiler drop them */
        it->seen += length;
        batches = it->seen / (BATCH * RECORD), it->seen %= BATCH * RECORD;
        break;
    default:
        it->seen += length;
        for (; it->seen >= REQUEST; it->seen -= REQUEST)
            if (!(program == TWO_WRITES ? reply_in_two(it) : reply(it, header, HEADER + BODY)))
                return false;
        return true;
    }
    for (; batches; batches--)
        if (!reply(it, "100\n", 4))
            return false;
    return true;
}

static void ready(struct connection *it, unsigned events)
{
#ifdef WITH_TLS
    if (it->in_handshake) {
        int result = SSL_accept(it->ssl);
        if (result != 1) {
            if (SSL_get_error(it->ssl, result) != SSL_ERROR_WANT_READ)
                finish(it);
            return;
        }
        it->in_handshake = false; /* the first message may have arrived with the end of the handshake */
    }
#endif
    if (it->rest) {
        if (!(events & ~EPOLLIN))
            return;
        ssize_t sent = put(it, it->rest + it->rest_sent, it->rest_length - it->rest_sent);
        if (sent < 0) {
            finish(it);
            return;
        }
        it->rest_sent += sent;
        if (it->rest_sent < it->rest_length)
            return;
        free(it->rest);
        it->rest = NULL;
        watch(it, EPOLL_CTL_MOD, EPOLLIN);
    }
    for (;;) {
        ssize_t got = take(it);
        if (got < 0)
            return;
        if (got == 0 || !serve(it, got)) {
            finish(it);
            return;
        }
#ifdef WITH_TLS
        /* epoll can't see what OpenSSL has already read. */
        if (it->ssl && !it->rest)
            continue;
#endif
        return;
    }
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *it = calloc(1, sizeof *it);
        it->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef WITH_TLS
        if (context) {
            it->ssl = SSL_new(context);
            SSL_set_fd(it->ssl, fd);
            SSL_set_accept_state(it->ssl);
            it->in_handshake = true;
        }
#endif
        watch(it, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void serve_datagrams(int fd)
{
    struct sockaddr_storage peer;
    for (;;) {
        socklen_t length = sizeof peer;
        ssize_t got = recvfrom(fd, buffer, BUFFER, 0, (struct sockaddr *)&peer, &length);
        if (got < 0)
            return;
        sendto(fd, buffer, got, 0, (struct sockaddr *)&peer, length);
    }
}

#ifdef WITH_TLS
static void load_certificate(const char *certificate, const char *key)
{
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_read_ahead(context, 1); /* otherwise each record takes two reads */
    SSL_CTX_set_default_read_buffer_len(context, BUFFER);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        fail("can't load the certificate");
}
#endif

int main(int count, char **arguments)
{
    bool datagrams = false;
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int index = 1; index < count; index++) {
        if (!strcmp(arguments[index], "--udp"))
            datagrams = true;
        else if (!strcmp(arguments[index], "--unix") && index + 1 < count)
            strncpy(path.sun_path, arguments[++index], sizeof path.sun_path - 1);
        else if (!strcmp(arguments[index], "--program") && index + 1 < count) {
            index++;
            for (program = 0; program <= TWO_WRITES && strcmp(PROGRAMS[program], arguments[index]);)
                program++;
#ifdef WITH_TLS
        } else if (!strcmp(arguments[index], "--tls") && index + 2 < count) {
            load_certificate(arguments[index + 1], arguments[index + 2]);
            index += 2;
#endif
        } else if (strcmp(arguments[index], "--tcp")) {
            fprintf(stderr, "echo: unknown argument %s\n", arguments[index]);
            return 2;
        }
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    memset(header, 'x', sizeof header);
    int kind = datagrams ? SOCK_DGRAM : SOCK_STREAM, one = 1;
    int listener = socket(path.sun_path[0] ? AF_UNIX : AF_INET, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (path.sun_path[0] ? bind(listener, (struct sockaddr *)&path, sizeof path)
                         : bind(listener, (struct sockaddr *)&address, sizeof address))
        fail("bind");
    if (!datagrams && listen(listener, 1024))
        fail("listen");
    socklen_t length = sizeof address;
    if (!path.sun_path[0])
        getsockname(listener, (struct sockaddr *)&address, &length);
    printf("{\"port\": %d, \"version\": \"epoll\"}\n", path.sun_path[0] ? 0 : ntohs(address.sin_port));
    fflush(stdout);

    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256], listening = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &listening);
    for (;;) {
        int ready_count = epoll_wait(poller, events, 256, -1);
        for (int index = 0; index < ready_count; index++) {
            if (events[index].data.ptr)
                ready(events[index].data.ptr, events[index].events);
            else if (datagrams)
                serve_datagrams(listener);
            else
                accept_all(listener);
        }
    }
}
