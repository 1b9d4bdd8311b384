#define _GNU_SOURCE /* struct ucred */
#include "run/claim.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Length of the address. The first byte of sun_path is 0: the abstract namespace. */
static socklen_t address(const char *uuid, int32_t seat, struct sockaddr_un *out) {
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    const int n =
        snprintf(out->sun_path + 1, sizeof out->sun_path - 1, "scope-grid/device/%.63s/%d", uuid, (int)seat);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static int open_socket(int more) {
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | more, 0);
}

bool sg_claim_seat(const char *uuid, int32_t seat, struct sg_claim *out) {
    struct sockaddr_un name;
    const socklen_t len = address(uuid, seat, &name);
    const int fd = open_socket(0);
    if (fd < 0) return true;
    if (bind(fd, (const struct sockaddr *)&name, len) != 0) {
        const bool taken = errno == EADDRINUSE;
        close(fd);
        return !taken;
    }
    (void)listen(fd, 64); /* answers who we are, without us; without it nobody learns that */
    out->held = true;
    out->fd = fd;
    snprintf(out->uuid, sizeof out->uuid, "%s", uuid);
    return true;
}

/* Whoever asks too often for the queue of the listener is told nothing. */
static struct sg_claim_holder holder(const char *uuid, int32_t seat) {
    struct sg_claim_holder by = {.pid = 0, .user = -1};
    struct sockaddr_un name;
    const socklen_t len = address(uuid, seat, &name);
    struct ucred peer;
    socklen_t size = sizeof peer;
    const int fd = open_socket(SOCK_NONBLOCK);
    if (fd < 0) return by;
    if (connect(fd, (const struct sockaddr *)&name, len) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0)
        by = (struct sg_claim_holder){.pid = peer.pid, .user = peer.uid};
    close(fd);
    return by;
}

bool sg_claim_alone(const char *uuid, struct sg_claim *out, struct sg_claim_holder *by) {
    if (!sg_claim_seat(uuid, 0, out)) {
        *by = holder(uuid, 0);
        return false;
    }
    for (int32_t seat = 1; seat < SG_CLAIM_SEATS && out->held; seat++) {
        struct sg_claim look = {.held = false};
        if (sg_claim_seat(uuid, seat, &look)) {
            sg_claim_drop(&look);
            continue;
        }
        *by = holder(uuid, seat);
        sg_claim_drop(out);
        return false;
    }
    return true;
}

void sg_claim_drop(struct sg_claim *claim) {
    if (claim->held) close(claim->fd);
    *claim = (struct sg_claim){.held = false};
}
