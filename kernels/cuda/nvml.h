/* nvml - energy, power and temperature of one NVIDIA device, from the driver's own library where it is. The
 * library is opened at run time by the few functions that are used: nothing of it is needed to build or to
 * start the program, and everything that is missing or refused reads as "not known". Private to kernels/cuda.
 *
 * Functions and units: NVIDIA Management Library, Device Queries (nvmlDeviceGetTotalEnergyConsumption: mJ
 * since the driver was loaded; nvmlDeviceGetPowerUsage: mW; nvmlDeviceGetTemperature: degrees Celsius). */
#ifndef SG_KERNELS_CUDA_NVML_H
#define SG_KERNELS_CUDA_NVML_H

#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SG__NVML_LIBRARY "libnvidia-ml.so.1"

struct sg__nvml; /* owned by the caller of open */

/* The device named by uuid ("GPU-..."), else by its PCI address; either may be "". `library` is a name or
 * path for dlopen. NULL when there is no library, no such device, or no memory. */
struct sg__nvml *sg__nvml_open(const char *library, const char *uuid, const char *pci);
void sg__nvml_close(struct sg__nvml *n); /* NULL accepted */

/* Joules since open, watts and degrees now; NaN for what cannot be told, all of it with NULL. To be called
 * now and then: the energy between two calls is the difference of a counter that may wrap or be set back. */
void sg__nvml_read(struct sg__nvml *n, struct sg_dev_power *out);

/* The driver's own version ("580.65.06"), "" when it cannot be told. n may be NULL. */
const char *sg__nvml_driver(const struct sg__nvml *n);

#ifdef __cplusplus
}
#endif
#endif
