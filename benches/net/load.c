/* The load generator: N connections to a server, one message in flight on each, for a time.
 *
 *   load (--tcp PORT | --unix PATH | --udp PORT) [--tls] [--churn] [--connections N] [--size S]
 *        [--request FILE] [--reply R] [--begins TEXT] [--warm SECONDS] [--seconds SECONDS] [--pid SERVER]
 *
 * Prints one line of JSON: messages, seconds, the CPU time of the server process and of this one in that window, how
 * long both were ready but had to wait for their CPU, and the median and 99th percentile of the latencies.
 * Exits with 1 and says why if a reply has the wrong length or content, or if nothing arrives for five seconds.
 *
 * Invariant: counting begins and ends while all connections are busy, so the window has the server's steady state;
 * connecting, handshakes and the warm-up (--warm seconds, repeated until each connection had a few messages) are
 * outside. After the window, every message in flight must still be answered.
 *
 * Without --request, it expects an echo and compares the reply with what was sent. Comparing costs the generator time,
 * so it compares every sixteenth long reply. It checks the length of every reply. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#define SCRATCH (1 << 20)
#define ALWAYS_COMPARED (16 << 10) /* bytes; longer echoes are compared only sometimes */
#define OFFSETS 251                /* this many connections send different bytes */
#define STALL_MS 5000
#define WARM_MESSAGES 4 /* per connection, on average: TCP's windows grow with the first ones */

struct connection {
    int fd;
    size_t sent, received;
    uint64_t began, messages;
    bool connecting, wants_write;
    const char *request;
#ifdef WITH_TLS
    SSL *ssl;
#endif
};

enum { TCP, UNIX, UDP };
static struct {
    int kind, port;
    const char *path, *begins;
    bool tls, churn, echo;
    int connections;
    size_t size, reply;
    double warm, seconds;
    pid_t pid;
} options = {.connections = 1, .size = 1024, .warm = 0.2, .seconds = 1.0};

static int poller;
static struct connection *connections;
static char *payload, scratch[SCRATCH];
static uint64_t messages, all_messages;
static bool counting, draining;
static int outstanding; /* connections whose reply hasn't come yet */
static uint64_t churned; /* connections made so far: chooses their source address */

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "load: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    exit(1);
}

static void fail_errno(const char *what) { fail(what, strerror(errno)); }

static uint64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000ull + at.tv_nsec;
}

/* CPU time of a process with all its threads, in nanoseconds. */
static uint64_t cpu_time(pid_t pid)
{
    clockid_t clock;
    struct timespec at;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &at))
        fail("the server process has ended", NULL);
    return at.tv_sec * 1000000000ull + at.tv_nsec;
}

/* How long a process's main thread was ready but waited for its CPU, in nanoseconds; 0 if the kernel doesn't say. */
static uint64_t wait_time(pid_t pid)
{
    char path[64];
    unsigned long long waited = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%*u %llu", &waited) != 1)
            waited = 0;
        fclose(file);
    }
    return waited;
}

/* Latencies: 32 steps for each power of two of nanoseconds, so neighbours are 3% apart. */
static uint64_t latencies[64 * 32];

static void note_latency(uint64_t ns)
{
    int power = ns < 32 ? 5 : 63 - __builtin_clzll(ns);
    latencies[power * 32 + ((ns >> (power - 5)) & 31)]++;
}

static double latency_us(double share)
{
    uint64_t wanted = messages * share, seen = 0;
    for (int index = 0; index < 64 * 32; index++) {
        seen += latencies[index];
        if (seen > wanted) {
            int power = index / 32;
            return ((1ull << power) + ((uint64_t)(index % 32) << (power - 5))) / 1e3;
        }
    }
    return 0;
}

static int connect_one(struct connection *it, bool wait)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int kind = options.kind == UDP ? SOCK_DGRAM : SOCK_STREAM, one = 1, result;
    it->fd = socket(options.kind == UNIX ? AF_UNIX : AF_INET, kind | (wait ? 0 : SOCK_NONBLOCK) | SOCK_CLOEXEC, 0);
    if (it->fd < 0)
        fail_errno("socket");
    if (options.kind == TCP)
        setsockopt(it->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (options.churn && options.kind == TCP) {
        /* A closed connection keeps its port for a minute; many source addresses have enough ports. */
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + churned++ % 250);
        setsockopt(it->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(it->fd, (struct sockaddr *)&source, sizeof source))
            fail_errno("bind");
    }
    if (options.kind == UNIX) {
        strncpy(path.sun_path, options.path, sizeof path.sun_path - 1);
        result = connect(it->fd, (struct sockaddr *)&path, sizeof path);
    } else {
        result = connect(it->fd, (struct sockaddr *)&address, sizeof address);
    }
    if (result && errno != EINPROGRESS)
        fail_errno("connect");
    it->connecting = result != 0;
    return it->connecting;
}

static void watch(struct connection *it, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = it};
    if (epoll_ctl(poller, operation, it->fd, &event))
        fail_errno("epoll_ctl");
}

static void want_write(struct connection *it, bool wanted)
{
    if (it->wants_write != wanted) {
        it->wants_write = wanted;
        watch(it, EPOLL_CTL_MOD, EPOLLIN | (wanted ? EPOLLOUT : 0));
    }
}

/* Like send and recv: bytes moved, or -1 with EAGAIN; the end of the stream is a failure. */
static ssize_t put(struct connection *it, const char *data, size_t length)
{
#ifdef WITH_TLS
    if (it->ssl) {
        int sent = SSL_write(it->ssl, data, length);
        if (sent > 0)
            return sent;
        int error = SSL_get_error(it->ssl, sent);
        if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ)
            fail("SSL_write", ERR_error_string(ERR_get_error(), NULL));
        return -1;
    }
#endif
    ssize_t sent = send(it->fd, data, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        fail_errno("send");
    return sent;
}

static ssize_t take(struct connection *it, char *data, size_t length, int flags)
{
#ifdef WITH_TLS
    if (it->ssl) {
        int got = SSL_read(it->ssl, data, length);
        if (got > 0)
            return got;
        int error = SSL_get_error(it->ssl, got);
        if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ)
            fail("the server closed the connection or broke TLS", NULL);
        return -1;
    }
#endif
    ssize_t got = recv(it->fd, data, length, flags);
    if (got < 0 && errno != EAGAIN)
        fail_errno("recv");
    if (got == 0)
        fail("the server closed the connection", NULL);
    return got;
}

static void send_rest(struct connection *it)
{
    while (it->sent < options.size) {
        ssize_t sent = put(it, it->request + it->sent, options.size - it->sent);
        if (sent < 0) {
            want_write(it, true);
            return;
        }
        it->sent += sent;
    }
    want_write(it, false);
}

static void begin_message(struct connection *it, uint64_t at)
{
    it->began = at;
    it->sent = it->received = 0;
    send_rest(it);
}

static void check(struct connection *it, const char *data, size_t length)
{
    if (options.echo) {
        if (memcmp(data, it->request + it->received, length))
            fail("the echo has other bytes than the message", NULL);
    } else if (options.begins && it->received == 0) {
        size_t wanted = strlen(options.begins);
        if (memcmp(data, options.begins, length < wanted ? length : wanted))
            fail("the reply doesn't begin with what it must begin with", options.begins);
    }
}

/* Reads what is there; returns whether the reply is complete. */
static bool receive(struct connection *it)
{
    bool compared = !options.echo || options.size <= ALWAYS_COMPARED || it->messages % 16 == 0;
    bool discard = !compared && options.kind == TCP && !options.tls;
    for (;;) {
        /* One byte more than a correct reply, to detect a server that sends too much. TCP can drop bytes unread. */
        size_t left = options.reply - it->received, asked = left + 1 < SCRATCH ? left + 1 : SCRATCH;
        ssize_t got = take(it, scratch, asked, discard ? MSG_TRUNC : 0);
        if (got < 0)
            return false;
        if ((size_t)got > left)
            fail("a reply is longer than it must be", NULL);
        if (compared)
            check(it, scratch, got);
        it->received += got;
        if (it->received == options.reply) {
            if (it->sent < options.size)
                fail("a reply was complete before its message was", NULL);
            return true;
        }
        if (options.kind == UDP)
            fail("a datagram came back shorter", NULL);
        if (!options.tls && (size_t)got < asked && it->received < options.reply)
            return false; /* the socket is empty: epoll reports when it isn't */
    }
}

static void renew(struct connection *it)
{
    close(it->fd); /* this also removes it from epoll */
    it->sent = it->received = 0;
    it->wants_write = false;
    it->began = now();
    bool connecting = connect_one(it, false);
    it->wants_write = connecting;
    watch(it, EPOLL_CTL_ADD, EPOLLIN | (connecting ? EPOLLOUT : 0));
    if (!connecting)
        send_rest(it);
}

/* Counts a finished message and begins the next. Returns the time. */
static uint64_t complete(struct connection *it)
{
    uint64_t at = now();
    it->messages++;
    all_messages++;
    if (counting) {
        messages++;
        note_latency(at - it->began);
    }
    if (draining)
        outstanding--;
    else if (options.churn)
        renew(it);
    else
        begin_message(it, at);
    return at;
}

/* Serves events until `deadline`, checked after each message; while draining, until no reply is outstanding. */
static void run_until(uint64_t deadline)
{
    struct epoll_event events[512];
    uint64_t at = now();
    while (draining ? outstanding > 0 : at < deadline) {
        int count = epoll_wait(poller, events, 512, STALL_MS);
        if (count == 0)
            fail("nothing arrives for five seconds", "a message was lost or the server is stuck");
        if (count < 0 && errno != EINTR)
            fail_errno("epoll_wait");
        for (int index = 0; index < count; index++) {
            struct connection *it = events[index].data.ptr;
            if (it->connecting) {
                int error = 0;
                socklen_t length = sizeof error;
                getsockopt(it->fd, SOL_SOCKET, SO_ERROR, &error, &length);
                if (error)
                    fail("connect", strerror(error));
                it->connecting = false;
                send_rest(it);
            } else {
                if (it->wants_write)
                    send_rest(it);
                if (receive(it))
                    at = complete(it);
            }
        }
        if (count > 0 && options.churn)
            at = now();
    }
}

#ifdef WITH_TLS
static void start_tls(struct connection *it)
{
    static SSL_CTX *context;
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_read_ahead(context, 1); /* otherwise each record takes two reads */
        SSL_CTX_set_default_read_buffer_len(context, 256 << 10);
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL); /* the certificate is made for this run */
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    it->ssl = SSL_new(context);
    SSL_set_fd(it->ssl, it->fd);
    SSL_set_tlsext_host_name(it->ssl, "localhost");
    if (SSL_connect(it->ssl) != 1)
        fail("the TLS handshake failed", ERR_error_string(ERR_get_error(), NULL));
}
#endif

static void read_request(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_errno(path);
    options.size = fread(payload = malloc(SCRATCH), 1, SCRATCH, file);
    fclose(file);
}

static void make_payload(void)
{
    payload = malloc(options.size + OFFSETS);
    for (size_t index = 0; index < options.size + OFFSETS; index++)
        payload[index] = 'a' + (index * 7 + index / 251) % 26;
}

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {
        {"tcp", 1, 0, 't'}, {"unix", 1, 0, 'u'}, {"udp", 1, 0, 'd'}, {"tls", 0, 0, 'l'}, {"churn", 0, 0, 'c'},
        {"connections", 1, 0, 'n'}, {"size", 1, 0, 's'}, {"request", 1, 0, 'q'}, {"reply", 1, 0, 'r'},
        {"begins", 1, 0, 'b'}, {"warm", 1, 0, 'w'}, {"seconds", 1, 0, 'e'}, {"pid", 1, 0, 'p'}, {0, 0, 0, 0}};
    const char *request = NULL;
    int which;
    options.kind = -1;
    while ((which = getopt_long_only(count, arguments, "", known, NULL)) != -1) {
        switch (which) {
        case 't': options.kind = TCP, options.port = atoi(optarg); break;
        case 'u': options.kind = UNIX, options.path = optarg; break;
        case 'd': options.kind = UDP, options.port = atoi(optarg); break;
        case 'l': options.tls = true; break;
        case 'c': options.churn = true; break;
        case 'n': options.connections = atoi(optarg); break;
        case 's': options.size = strtoul(optarg, NULL, 10); break;
        case 'q': request = optarg; break;
        case 'r': options.reply = strtoul(optarg, NULL, 10); break;
        case 'b': options.begins = optarg; break;
        case 'w': options.warm = atof(optarg); break;
        case 'e': options.seconds = atof(optarg); break;
        case 'p': options.pid = atoi(optarg); break;
        default: exit(2);
        }
    }
    if (options.kind < 0 || options.connections < 1)
        fail("say where with --tcp, --unix or --udp, and at least one connection", NULL);
#ifndef WITH_TLS
    if (options.tls)
        fail("compiled without OpenSSL", NULL);
#endif
    options.echo = !request && !options.reply;
    if (request)
        read_request(request);
    else
        make_payload();
    if (!options.reply)
        options.reply = options.size;
    if (!options.size || options.size > SCRATCH - 1 || options.reply > SCRATCH - 1)
        fail("messages have 1 byte to 1 MiB", NULL);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    raise_descriptor_limit();
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc(options.connections, sizeof *connections);
    for (int index = 0; index < options.connections; index++) {
        struct connection *it = &connections[index];
        it->request = payload + (options.echo ? index % OFFSETS : 0);
        connect_one(it, true);
#ifdef WITH_TLS
        if (options.tls)
            start_tls(it);
#endif
        fcntl(it->fd, F_SETFL, O_NONBLOCK);
        watch(it, EPOLL_CTL_ADD, EPOLLIN);
    }
    for (int index = 0; index < options.connections; index++)
        begin_message(&connections[index], now());

    do
        run_until(now() + options.warm * 1e9);
    while (all_messages < (uint64_t)options.connections * WARM_MESSAGES);
    pid_t server = options.pid ? options.pid : getpid();
    uint64_t own = cpu_time(getpid()), theirs = cpu_time(server);
    uint64_t own_wait = wait_time(getpid()), their_wait = wait_time(server), began = now();
    counting = true;
    run_until(began + options.seconds * 1e9);
    theirs = cpu_time(server) - theirs;
    uint64_t ended = now();
    own = cpu_time(getpid()) - own;
    own_wait = wait_time(getpid()) - own_wait;
    their_wait = wait_time(server) - their_wait;
    counting = false;
    draining = true;
    outstanding = options.connections;
    run_until(0);
    if (!messages)
        fail("no message came back in the measured time", NULL);
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"server_cpu_ns\": %llu, \"own_cpu_ns\": %llu, "
           "\"server_wait_ns\": %llu, \"own_wait_ns\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           (unsigned long long)messages, (ended - began) / 1e9, (unsigned long long)theirs, (unsigned long long)own,
           (unsigned long long)their_wait, (unsigned long long)own_wait, latency_us(0.5), latency_us(0.99));
    return 0;
}
