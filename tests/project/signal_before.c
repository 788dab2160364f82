/* LD_PRELOAD: SIGTERM comes in the last instant before the first call of $SIGNAL_BEFORE.
 *
 * The interpreter has looked for signals a moment ago, and the call has not begun.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void signal_before(const char *call) {
    static int done = 0;
    if (!done && strcmp(call, getenv("SIGNAL_BEFORE")) == 0) {
        done = 1;
        raise(SIGTERM);
    }
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    int (*call)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    signal_before("accept4");
    return call(fd, address, length, flags);
}

ssize_t recv(int fd, void *bytes, size_t count, int flags) {
    ssize_t (*call)(int, void *, size_t, int) = dlsym(RTLD_NEXT, "recv");
    signal_before("recv");
    return call(fd, bytes, count, flags);
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
    int (*call)(struct pollfd *, nfds_t, int) = dlsym(RTLD_NEXT, "poll");
    signal_before("poll");
    return call(fds, count, timeout);
}
