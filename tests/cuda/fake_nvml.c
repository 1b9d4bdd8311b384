/* fake_nvml - a libnvidia-ml.so.1 for tests: devices emu-0 to emu-7, GPU-whole at 0000:01:00.0 and the slice
 * MIG-slice of it, at 412.5 W and 61 degrees. Their energy counters (mJ) show the numbers of FAKE_NVML_MJ one
 * after the other, then go on by 1500 at every look. FAKE_NVML_REFUSE names functions that answer "not
 * supported": init, energy, power, temperature. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, DEVICES = 10, WHOLE = 8, SLICE = 9 };
enum { STEP_MJ = 1500, POWER_MW = 412500, CELSIUS = 61 };

static int begun;
static struct device {
    const char *next; /* of FAKE_NVML_MJ */
    unsigned long long mj;
} devices[DEVICES];

static bool refused(const char *what) {
    const char *list = getenv("FAKE_NVML_REFUSE");
    return list && strstr(list, what);
}

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlSystemGetDriverVersion(char *out, unsigned bytes);
int nvmlDeviceGetHandleByUUID(const char *uuid, void **out);
int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **out);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj);
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw);
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius);

int nvmlInit_v2(void) {
    if (refused("init")) return NOT_SUPPORTED;
    begun++;
    return OK;
}
int nvmlShutdown(void) {
    if (begun-- <= 0) abort();
    return OK;
}
int nvmlSystemGetDriverVersion(char *out, unsigned bytes) {
    snprintf(out, bytes, "580.65.06");
    return OK;
}

static int give(int i, void **out) {
    if (begun <= 0) abort();
    devices[i] = (struct device){.next = getenv("FAKE_NVML_MJ")};
    *out = &devices[i];
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **out) {
    if (!strncmp(uuid, "emu-", 4) && uuid[4] >= '0' && uuid[4] < '8' && (!uuid[5] || uuid[5] == '@'))
        return give(uuid[4] - '0', out);
    if (!strcmp(uuid, "GPU-whole")) return give(WHOLE, out);
    if (!strcmp(uuid, "MIG-slice")) return give(SLICE, out);
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **out) {
    return strcmp(pci, "0000:01:00.0") ? NOT_FOUND : give(WHOLE, out);
}

/* As the real one: slices have no counter. */
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
    struct device *d = device;
    if (refused("energy") || d == &devices[SLICE]) return NOT_SUPPORTED;
    if (d->next && *d->next) {
        char *end;
        d->mj = strtoull(d->next, &end, 10);
        d->next = *end == ',' ? end + 1 : end;
    } else {
        d->mj += STEP_MJ;
    }
    *mj = d->mj;
    return OK;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) {
    (void)device;
    if (refused("power")) return NOT_SUPPORTED;
    *mw = POWER_MW;
    return OK;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
    (void)device;
    if (sensor != 0 || refused("temperature")) return NOT_SUPPORTED;
    *celsius = CELSIUS;
    return OK;
}
