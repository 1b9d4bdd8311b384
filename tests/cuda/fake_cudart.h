/* fake_cudart - what the fake CUDA runtime has beside CUDA's own functions. */
#ifndef SG_TESTS_FAKE_CUDART_H
#define SG_TESTS_FAKE_CUDART_H

#include <cuda_runtime_api.h>

/* Moves the clock of events on; called by work when it runs. */
void fake_cuda_work(double ms);
/* Queues a kernel: call(arg) when the stream comes to it, which frees arg. */
cudaError_t fake_cuda_queue(cudaStream_t s, void (*call)(void *arg), void *arg);

/* Has every stream beside the first that was made run at once what it is given, or, as at first, only when somebody
 * waits for it, as the first one always does. */
void fake_cuda_hurry(int on);

#endif
