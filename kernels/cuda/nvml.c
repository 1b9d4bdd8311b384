#include "kernels/cuda/nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As nvml.h of the toolkit declares them; that header is not everywhere. Every function returns 0 when it
 * succeeds. */
typedef void *nvml_device;
enum { NVML_TEMPERATURE_GPU = 0, NVML_DRIVER_VERSION_BYTES = 80 };
struct api {
    int (*nvmlInit_v2)(void);
    int (*nvmlShutdown)(void);
    int (*nvmlDeviceGetHandleByUUID)(const char *uuid, nvml_device *out);
    int (*nvmlDeviceGetHandleByPciBusId_v2)(const char *pci, nvml_device *out);
    /* These may be missing: */
    int (*nvmlSystemGetDriverVersion)(char *out, unsigned bytes);
    int (*nvmlDeviceGetTotalEnergyConsumption)(nvml_device d, unsigned long long *mj);
    int (*nvmlDeviceGetPowerUsage)(nvml_device d, unsigned *mw);
    int (*nvmlDeviceGetTemperature)(nvml_device d, int sensor, unsigned *celsius);
};

/* mJ; more than any device takes between two readings (40 hours at 700 W). A larger step is a counter that
 * was set back. */
static const unsigned long long LARGEST_STEP = 100000000000;

struct sg__nvml {
    void *library;
    struct api f;
    bool begun; /* nvmlInit has succeeded */
    nvml_device device;
    char driver[NVML_DRIVER_VERSION_BYTES];
    bool counts;             /* the device has an energy counter */
    unsigned long long last; /* its last reading */
    double millijoules;      /* since open */
};

static bool load(struct sg__nvml *n, const char *library) {
    n->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!n->library) return false;
    void *symbol;
#define SG_LOAD(name)                                                                                        \
    symbol = dlsym(n->library, #name);                                                                       \
    memcpy(&n->f.name, &symbol, sizeof symbol)
    SG_LOAD(nvmlInit_v2);
    SG_LOAD(nvmlShutdown);
    SG_LOAD(nvmlDeviceGetHandleByUUID);
    SG_LOAD(nvmlDeviceGetHandleByPciBusId_v2);
    SG_LOAD(nvmlSystemGetDriverVersion);
    SG_LOAD(nvmlDeviceGetTotalEnergyConsumption);
    SG_LOAD(nvmlDeviceGetPowerUsage);
    SG_LOAD(nvmlDeviceGetTemperature);
#undef SG_LOAD
    return n->f.nvmlInit_v2 && n->f.nvmlShutdown && n->f.nvmlDeviceGetHandleByUUID &&
           n->f.nvmlDeviceGetHandleByPciBusId_v2;
}

/* A slice of a device has a uuid of its own, which NVML knows by another prefix; the slice must not be taken
 * for the whole device, so its PCI address is asked for last. */
static bool find(struct sg__nvml *n, const char *uuid, const char *pci) {
    char slice[80];
    if (uuid[0] && n->f.nvmlDeviceGetHandleByUUID(uuid, &n->device) == 0) return true;
    if (strncmp(uuid, "GPU-", 4) == 0) {
        snprintf(slice, sizeof slice, "MIG-%s", uuid + 4);
        if (n->f.nvmlDeviceGetHandleByUUID(slice, &n->device) == 0) return true;
    }
    return pci[0] && n->f.nvmlDeviceGetHandleByPciBusId_v2(pci, &n->device) == 0;
}

struct sg__nvml *sg__nvml_open(const char *library, const char *uuid, const char *pci) {
    struct sg__nvml *n = calloc(1, sizeof *n);
    if (!n) return NULL;
    if (load(n, library) && n->f.nvmlInit_v2() == 0) {
        n->begun = true;
        if (find(n, uuid, pci)) {
            const struct api *f = &n->f;
            n->counts = f->nvmlDeviceGetTotalEnergyConsumption &&
                        f->nvmlDeviceGetTotalEnergyConsumption(n->device, &n->last) == 0;
            if (!f->nvmlSystemGetDriverVersion ||
                f->nvmlSystemGetDriverVersion(n->driver, sizeof n->driver) != 0)
                n->driver[0] = 0;
            n->driver[sizeof n->driver - 1] = 0;
            return n;
        }
    }
    sg__nvml_close(n);
    return NULL;
}

void sg__nvml_close(struct sg__nvml *n) {
    if (!n) return;
    if (n->begun) n->f.nvmlShutdown();
    if (n->library) dlclose(n->library);
    free(n);
}

/* The difference modulo 2^64 is right when the counter has wrapped; a driver that was loaded anew begins at
 * zero, and what it shows then was used since. */
static void count_energy(struct sg__nvml *n) {
    unsigned long long now = 0;
    if (n->f.nvmlDeviceGetTotalEnergyConsumption(n->device, &now) != 0) return;
    const unsigned long long step = now - n->last;
    if (step <= LARGEST_STEP)
        n->millijoules += (double)step;
    else if (now <= LARGEST_STEP)
        n->millijoules += (double)now;
    n->last = now;
}

void sg__nvml_read(struct sg__nvml *n, struct sg_dev_power *out) {
    unsigned v = 0;
    *out = (struct sg_dev_power){NAN, NAN, NAN};
    if (!n) return;
    if (n->counts) {
        count_energy(n);
        out->joules = n->millijoules * 1e-3;
    }
    if (n->f.nvmlDeviceGetPowerUsage && n->f.nvmlDeviceGetPowerUsage(n->device, &v) == 0)
        out->watts = (double)v * 1e-3;
    if (n->f.nvmlDeviceGetTemperature &&
        n->f.nvmlDeviceGetTemperature(n->device, NVML_TEMPERATURE_GPU, &v) == 0)
        out->celsius = (double)v;
}

const char *sg__nvml_driver(const struct sg__nvml *n) {
    return n ? n->driver : "";
}
