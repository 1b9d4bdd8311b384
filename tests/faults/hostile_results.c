/* hostile_results GOOD KIND OBJECT OTHER OUT: a copy of the results file GOOD in which OBJECT is not what it was:
 *   external   a dataset whose bytes are those of the text file OTHER
 *   elink      an external link to the object of that name in the results file OTHER
 *   soft       a soft link to /category
 *   virtual    a virtual dataset over the object of that name in the results file OTHER
 *   huge       300 million elements, none of them stored
 *   packed     the same elements behind a filter that the writer does not use
 *   heap       the heap of the texts, whose objects claim other sizes: OBJECT is a number, another place for each
 *   mutated    bytes changed at places that the number OBJECT chooses
 * The copy has no checksum, as other tools leave files. */
#include "base/file.h"
#include "base/rng.h"
#include "store/h5_checksum.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hid_t text_type(size_t width) {
    const hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, width);
    H5Tset_cset(t, H5T_CSET_UTF8);
    return t;
}

static int put(hid_t f, const char *name, hid_t type, hsize_t n, hid_t plist, const void *data) {
    const hid_t s = H5Screate_simple(1, &n, NULL),
                d = H5Dcreate2(f, name, type, s, H5P_DEFAULT, plist, H5P_DEFAULT);
    const int ok = d >= 0 && (!data || H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(d);
    H5Sclose(s);
    return ok;
}

static int change(hid_t f, const char *kind, const char *name, const char *other) {
    enum { WIDTH = 16 };
    const hid_t old = H5Oopen(f, name, H5P_DEFAULT), plist = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t n = 0;
    hid_t space = -1, type = -1;
    if (H5Iget_type(old) == H5I_DATASET) {
        space = H5Dget_space(old), type = H5Dget_type(old);
        H5Sget_simple_extent_dims(space, &n, NULL);
    }
    if (H5Ldelete(f, name, H5P_DEFAULT) < 0) return 0;
    if (!strcmp(kind, "soft")) return H5Lcreate_soft("/category", f, name, H5P_DEFAULT, H5P_DEFAULT) >= 0;
    if (!strcmp(kind, "elink"))
        return H5Lcreate_external(other, name, f, name, H5P_DEFAULT, H5P_DEFAULT) >= 0;
    if (!strcmp(kind, "external"))
        return H5Pset_external(plist, other, 0, n * WIDTH) >= 0 &&
               put(f, name, text_type(WIDTH), n, plist, NULL);
    if (!strcmp(kind, "virtual"))
        return H5Pset_virtual(plist, space, other, name, space) >= 0 && put(f, name, type, n, plist, NULL);
    if (!strcmp(kind, "huge")) return put(f, name, text_type(WIDTH), 300000000, H5P_DEFAULT, NULL);
    if (!strcmp(kind, "packed")) {
        char texts[4096] = "a";
        const hid_t t = text_type(WIDTH);
        return n * WIDTH <= sizeof texts && H5Pset_chunk(plist, 1, &n) >= 0 && H5Pset_nbit(plist) >= 0 &&
               put(f, name, t, n, plist, texts);
    }
    fprintf(stderr, "hostile_results: no kind '%s'\n", kind);
    return 0;
}

/* Changes bytes of the file itself. */
static void damage(unsigned char *b, size_t n, const char *kind, uint64_t seed) {
    if (!strcmp(kind, "mutated"))
        for (uint64_t i = 0; i < 8; i++)
            b[sg_random64(seed, 2 * i) % n] = (unsigned char)sg_random64(seed, 2 * i + 1);
    /* a collection: signature, version, 3 bytes, size; then objects: index (2), uses (2), 4 bytes, size (8) (HDF5 File
     * Format Specification, III.E) */
    uint64_t seen = 0;
    for (size_t at = 0; !strcmp(kind, "heap") && at + 40 < n; at++)
        if (!memcmp(b + at, "GCOL", 4) && seen++ == seed / 4) {
            const uint64_t sizes[] = {UINT64_MAX, (uint64_t)1 << 40, n, 0};
            memcpy(b + at + (seed & 8 ? 8 : 24), &sizes[seed % 4], 8);
        }
}

int main(int argc, char **argv) {
    struct sg_map map = {0};
    struct sg_err err = {0};
    if (argc != 6) return 2;
    if (sg_map_open(argv[1], &map, &err) != SG_OK) {
        fprintf(stderr, "hostile_results: %s\n", err.text);
        return 1;
    }
    FILE *out = fopen(argv[5], "wb");
    const size_t n = map.size - SG_H5_CHECKSUM_BYTES;
    const int bytes = !strcmp(argv[2], "heap") || !strcmp(argv[2], "mutated");
    unsigned char *copy = malloc(n);
    if (!copy) return 1;
    memcpy(copy, map.data, n);
    if (bytes) damage(copy, n, argv[2], strtoull(argv[3], NULL, 10));
    if (!out || fwrite(copy, 1, n, out) != n || fclose(out) != 0) {
        perror(argv[5]);
        return 1;
    }
    sg_map_close(&map);
    free(copy);
    if (bytes) return 0;
    const hid_t plist = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(plist, H5F_CLOSE_STRONG); /* with the file goes whatever is still open in it */
    const hid_t f = H5Fopen(argv[5], H5F_ACC_RDWR, plist);
    const int ok = f >= 0 && change(f, argv[2], argv[3], argv[4]);
    return H5Fclose(f) < 0 || !ok;
}
