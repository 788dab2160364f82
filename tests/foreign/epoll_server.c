/* A correct server in another style: C, epoll, large kernel buffers.
 *
 * Graded at stage 4.  Prints no ready line, so that whoever grades it has to
 * look for the port.  Build: cc -O2 -o epoll_server epoll_server.c
 * Run: epoll_server [--port N] [--idle-timeout SECONDS]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADER_SIZE = 4,
    MAX_PAYLOAD = 1 << 20,
    HIGH_WATER = 1 << 20,      /* bytes of unsent replies: no request runs above it */
    READ_SIZE = 1 << 16,
    KERNEL_BUFFER = 4 << 20,
    BUCKETS = 1 << 14,
    EVENTS = 64,
    NAME_SHOWN = 64,           /* bytes of an unknown command's name in the error */
};

/* ---- memory ---- */

typedef struct {
    char *memory;              /* NULL while there is no data */
    size_t begin, end, room;
} Bytes;

static void *must(void *memory) {
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

static size_t length_of(const Bytes *bytes) {
    return bytes->end - bytes->begin;
}

static void discard(Bytes *bytes) {
    free(bytes->memory);
    memset(bytes, 0, sizeof *bytes);
}

static void append(Bytes *bytes, const void *data, size_t count) {
    if (bytes->end + count > bytes->room) {
        size_t have = length_of(bytes);
        size_t room = (have + count) * 2;
        char *memory = must(malloc(room));
        if (have)
            memcpy(memory, bytes->memory + bytes->begin, have);
        discard(bytes);
        bytes->memory = memory;
        bytes->end = have;
        bytes->room = room;
    }
    if (count)
        memcpy(bytes->memory + bytes->end, data, count);
    bytes->end += count;
}

static void consume(Bytes *bytes, size_t count) {
    bytes->begin += count;
    if (bytes->begin == bytes->end)
        discard(bytes);
}

/* ---- the store: a hash table of chains ---- */

typedef struct Entry {
    struct Entry *next;
    size_t key_size, value_size;
    char *key, *value;
} Entry;

static Entry *buckets[BUCKETS];

static Entry **find(const char *key, size_t size) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)key[i]) * 1099511628211u;
    Entry **place = &buckets[hash % BUCKETS];
    while (*place && ((*place)->key_size != size || memcmp((*place)->key, key, size)))
        place = &(*place)->next;
    return place;
}

static char *copy_of(const char *data, size_t size) {
    char *copy = must(malloc(size + 1));
    memcpy(copy, data, size);
    copy[size] = 0;
    return copy;
}

static void put(const char *key, size_t key_size, const char *value, size_t value_size) {
    Entry **place = find(key, key_size);
    if (!*place) {
        *place = must(calloc(1, sizeof **place));
        (*place)->key = copy_of(key, key_size);
        (*place)->key_size = key_size;
    }
    free((*place)->value);
    (*place)->value = copy_of(value, value_size);
    (*place)->value_size = value_size;
}

static bool delete(const char *key, size_t size) {
    Entry **place = find(key, size), *entry = *place;
    if (!entry)
        return false;
    *place = entry->next;
    free(entry->key);
    free(entry->value);
    free(entry);
    return true;
}

/* ---- the commands ---- */

static void reply(Bytes *out, char type, const char *data, size_t size) {
    uint32_t count = size + 1;
    unsigned char header[HEADER_SIZE + 1] = {count, count >> 8, count >> 16, count >> 24, type};
    append(out, header, sizeof header);
    append(out, data, size);
}

static void reply_text(Bytes *out, char type, const char *text) {
    reply(out, type, text, strlen(text));
}

static void wrong_arguments(Bytes *out, const char *name) {
    char text[128];
    snprintf(text, sizeof text, "ERR wrong number of arguments for '%s'", name);
    reply_text(out, '-', text);
}

static void unknown_command(Bytes *out, const char *name, size_t size) {
    char text[64 + 4 * NAME_SHOWN], *end = text;
    end += sprintf(end, "ERR unknown command '");
    for (size_t i = 0; i < size && i < NAME_SHOWN; i++) {
        unsigned char byte = name[i];
        end += sprintf(end, byte >= 0x20 && byte <= 0x7e ? "%c" : "\\x%02x", byte);
    }
    sprintf(end, "'");
    reply_text(out, '-', text);
}

/* The canonical decimal of an int64, or false. */
static bool parse_integer(const char *text, size_t size, int64_t *number) {
    char written[32];
    if (size == 0 || size > 20 || isspace((unsigned char)text[0]))
        return false;
    *number = strtoll(text, NULL, 10);
    snprintf(written, sizeof written, "%" PRId64, *number);
    return strlen(written) == size && !memcmp(written, text, size);
}

static void increment(Bytes *out, const char *key, size_t size) {
    Entry *entry = *find(key, size);
    int64_t number = 0;
    char written[32];
    if ((entry && !parse_integer(entry->value, entry->value_size, &number)) || number == INT64_MAX) {
        reply_text(out, '-', "ERR value is not an integer or out of range");
        return;
    }
    snprintf(written, sizeof written, "%" PRId64, number + 1);
    put(key, size, written, strlen(written));
    reply_text(out, ':', written);
}

static void get(Bytes *out, const char *key, size_t size) {
    Entry *entry = *find(key, size);
    if (entry)
        reply(out, '$', entry->value, entry->value_size);
    else
        reply_text(out, '_', "");
}

static bool is(const char *name, size_t size, const char *command) {
    return size == strlen(command) && !strncasecmp(name, command, size);
}

static void set(Bytes *out, const char *argument, size_t size) {
    const char *space = argument ? memchr(argument, ' ', size) : NULL;
    if (!space) {
        wrong_arguments(out, "set");
        return;
    }
    put(argument, space - argument, space + 1, argument + size - space - 1);
    reply_text(out, '+', "OK");
}

/* GET, DEL and INCR take a key and nothing else. */
static void run_on_key(Bytes *out, const char *name, const char *key, size_t size) {
    if (!key || memchr(key, ' ', size))
        wrong_arguments(out, name);
    else if (!strcmp(name, "get"))
        get(out, key, size);
    else if (!strcmp(name, "incr"))
        increment(out, key, size);
    else
        reply_text(out, ':', delete(key, size) ? "1" : "0");
}

static void respond(Bytes *out, const char *request, size_t size) {
    const char *space = memchr(request, ' ', size);
    size_t name_size = space ? (size_t)(space - request) : size;
    const char *argument = space ? space + 1 : NULL;
    size_t rest = space ? size - name_size - 1 : 0;

    if (size == 0)
        reply_text(out, '-', "ERR empty command");
    else if (is(request, name_size, "PING") && !argument)
        reply_text(out, '+', "PONG");
    else if (is(request, name_size, "PING") || (is(request, name_size, "ECHO") && argument))
        reply(out, '$', argument, rest);
    else if (is(request, name_size, "ECHO"))
        wrong_arguments(out, "echo");
    else if (is(request, name_size, "SET"))
        set(out, argument, rest);
    else if (is(request, name_size, "GET"))
        run_on_key(out, "get", argument, rest);
    else if (is(request, name_size, "DEL"))
        run_on_key(out, "del", argument, rest);
    else if (is(request, name_size, "INCR"))
        run_on_key(out, "incr", argument, rest);
    else
        unknown_command(out, request, name_size);
}

/* ---- connections ---- */

typedef struct Conn {
    int fd;
    bool ended;                /* no more requests: close once all is sent */
    double last_active;
    Bytes in, out;
    char peer[32];
    struct Conn *next, **link; /* the list of all connections */
} Conn;

static int epoll_fd, listener;
static Conn *connections;
static bool accept_paused;
static double idle_timeout = 300;

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void watch(int operation, int fd, uint32_t events, void *data) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    epoll_ctl(epoll_fd, operation, fd, &event);
}

static void close_conn(Conn *conn, const char *reason) {
    if (reason)
        fprintf(stderr, "%s: %s\n", conn->peer, reason);
    close(conn->fd);           /* epoll forgets it, too */
    discard(&conn->in);
    discard(&conn->out);
    *conn->link = conn->next;
    if (conn->next)
        conn->next->link = conn->link;
    free(conn);
}

static void accept_one(void) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int on = 1, fd = accept4(listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (!accept_paused)
                perror("accept");
            accept_paused = true;
            watch(EPOLL_CTL_MOD, listener, 0, NULL);
        }
        return;
    }
    accept_paused = false;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Conn *conn = must(calloc(1, sizeof *conn));
    conn->fd = fd;
    conn->last_active = seconds_now();
    snprintf(conn->peer, sizeof conn->peer, "%s:%d", inet_ntoa(address.sin_addr),
             ntohs(address.sin_port));
    conn->next = connections;
    conn->link = &connections;
    if (connections)
        connections->link = &conn->next;
    connections = conn;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, conn);
}

static void refuse(Conn *conn, uint32_t size) {
    char text[64];
    snprintf(text, sizeof text, "ERR payload of %" PRIu32 " bytes exceeds %d", size, MAX_PAYLOAD);
    fprintf(stderr, "%s: %s\n", conn->peer, text + 4);
    reply_text(&conn->out, '-', text);
    discard(&conn->in);
    conn->ended = true;
}

static void answer(Conn *conn) {
    while (length_of(&conn->out) < HIGH_WATER && length_of(&conn->in) >= HEADER_SIZE) {
        const unsigned char *data = (unsigned char *)conn->in.memory + conn->in.begin;
        uint32_t size = data[0] | data[1] << 8 | data[2] << 16 | (uint32_t)data[3] << 24;
        if (size > MAX_PAYLOAD) {
            refuse(conn, size);
            return;
        }
        if (length_of(&conn->in) < HEADER_SIZE + size)
            return;
        respond(&conn->out, (const char *)data + HEADER_SIZE, size);
        consume(&conn->in, HEADER_SIZE + size);
    }
}

/* The three below return false where the connection has gone. */

static bool read_some(Conn *conn) {
    static char data[READ_SIZE];
    ssize_t count = read(conn->fd, data, sizeof data);
    if (count < 0 && errno != EAGAIN) {
        close_conn(conn, strerror(errno));
        return false;
    }
    if (count > 0) {
        conn->last_active = seconds_now();
        append(&conn->in, data, count);
        answer(conn);
    }
    if (count == 0) {
        conn->ended = true;
        if (length_of(&conn->in))
            fprintf(stderr, "%s: closed inside a frame\n", conn->peer);
    }
    return true;
}

static bool write_some(Conn *conn) {
    size_t due = length_of(&conn->out);
    if (!due)
        return true;
    ssize_t count = send(conn->fd, conn->out.memory + conn->out.begin, due, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) {
        close_conn(conn, strerror(errno));
        return false;
    }
    if (count > 0) {
        conn->last_active = seconds_now();
        consume(&conn->out, count);
        answer(conn);
    }
    return true;
}

static void update(Conn *conn) {
    size_t due = length_of(&conn->out);
    if (conn->ended && !due) {
        close_conn(conn, NULL);
        return;
    }
    uint32_t events = due ? EPOLLOUT : 0;
    if (!conn->ended && due < HIGH_WATER)
        events |= EPOLLIN;
    watch(EPOLL_CTL_MOD, conn->fd, events, conn);
}

static void serve(Conn *conn, uint32_t events) {
    bool reads = !conn->ended && length_of(&conn->out) < HIGH_WATER;
    if (reads && events & ~EPOLLOUT && !read_some(conn))
        return;
    if (write_some(conn))
        update(conn);
}

static void tick(double now) {
    if (accept_paused)
        watch(EPOLL_CTL_MOD, listener, EPOLLIN, NULL);
    for (Conn *conn = connections, *next; idle_timeout > 0 && conn; conn = next) {
        next = conn->next;
        if (now - conn->last_active >= idle_timeout)
            close_conn(conn, "idle");
    }
}

static void serve_forever(void) {
    struct epoll_event events[EVENTS];
    double period = idle_timeout > 0 && idle_timeout < 4 ? idle_timeout / 4 : 1;
    double next_tick = seconds_now() + period;
    while (true) {
        int count = epoll_wait(epoll_fd, events, EVENTS, (int)(period * 1000) + 1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_one();
        }
        /* After the events: none of them may name a connection closed here. */
        if (seconds_now() >= next_tick) {
            tick(seconds_now());
            next_tick = seconds_now() + period;
        }
    }
}

/* ---- start and stop ---- */

static void stop(int number) {
    (void)number;
    _exit(0);
}

static int open_listener(long port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, bytes = KERNEL_BUFFER, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN)) {
        fprintf(stderr, "cannot listen on port %ld: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv) {
    long port = 6404;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port"))
            port = atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--idle-timeout"))
            idle_timeout = atof(argv[i + 1]);
    }
    if (port < 0 || port > 65535) {
        fprintf(stderr, "port %ld is out of range 0-65535\n", port);
        return 1;
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    listener = open_listener(port);
    epoll_fd = epoll_create1(0);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    serve_forever();
}
