/* claim - who computes on a device, among all processes of a node: a rank that takes a device claims it by
 * the device's uuid for as long as it lives, so that runs and members of arrays which know nothing of each
 * other do not share one by accident. (A slice of a GPU has a uuid of its own, and so has a claim of its
 * own.)
 *
 * A claim is a name in Linux's abstract socket namespace, "\0scope-grid/device/UUID/SEAT", bound and listened
 * on. The kernel keeps it: it is taken at once or not at all, is gone with the process however that ends
 * (kill -9, a reboot), leaves no file behind, asks no permission (any user meets any other's), and tells who
 * holds it (SO_PEERCRED). A file with flock would lie where jobs do not meet: sites give every job a /tmp and
 * a /dev/shm of its own, and one user's file is closed to another in a sticky folder. The names belong to the
 * network namespace: Apptainer, Enroot and Charliecloud share the node's; containers with a network of their
 * own (Docker's default) do not see each other's claims, and are bound to devices by whoever starts them
 * anyhow.
 *
 * A device has seats. Who wants it alone takes seat 0 and must find all others free. Who shares takes the
 * first free one, and takes none when all are taken: sharing is never refused. So a device that somebody
 * shares is taken for those who want it alone, and of two who want it alone at once one gets it.
 *
 * A process that may not make such a socket (a sandbox) goes on without a claim: it protects from accidents,
 * the results do not depend on it. */
#ifndef SG_RUN_CLAIM_H
#define SG_RUN_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

enum { SG_CLAIM_SEATS = 32 };

/* Zeroed: no claim. Owns a socket until the drop; not to be copied while it holds one. */
struct sg_claim {
    bool held;
    int fd;
    char uuid[64];
};
/* Who holds a seat: 0 and -1 when it cannot be asked (it has just gone, or lives in another pid namespace).
 */
struct sg_claim_holder {
    int64_t pid, user;
};

/* The device for this process alone. False: somebody has it, *by says who. True: it is claimed, or claims
 * cannot be made here (out->held is false). *out: zeroed. */
bool sg_claim_alone(const char *uuid, struct sg_claim *out, struct sg_claim_holder *by);
/* One seat beside others. False: it is taken. True as above. 0 <= seat < SG_CLAIM_SEATS. */
bool sg_claim_seat(const char *uuid, int32_t seat, struct sg_claim *out);
/* Gives the device back; zeroed accepted, zeroed afterwards. */
void sg_claim_drop(struct sg_claim *claim);

#endif
