/* Optimizers on flat arrays of floats, learned and designed by hand: the C interface of velo-optimizer.
 *
 * Describe the parameters once, then call velo_step with parameters, gradients and the loss:
 *
 *     size_t shape[] = {784, 10};
 *     VeloTensor tensors[] = {{"dense/kernel", shape, 2}, {"dense/bias", shape + 1, 1}};
 *     VeloOptimizer *optimizer = velo_load("learned.safetensors", tensors, 2);
 *     if (!optimizer) fail(velo_last_error());
 *     velo_step(optimizer, params, grads, 7850, loss);
 *     velo_free(optimizer);
 *
 * Tensors lie back to back in the order given, row-major. A function that returns VeloStatus changes nothing when it
 * returns VELO_ERROR; velo_last_error then says why. One optimizer must not be used by two threads at once; different
 * optimizers may. Null pointers are refused with an error, except where it says otherwise; pointers that are neither
 * null nor valid are undefined behaviour, as everywhere in C.
 */
#ifndef VELO_H
#define VELO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An optimizer with its state. */
typedef struct VeloOptimizer VeloOptimizer;

/* One parameter tensor. */
typedef struct VeloTensor {
    const char *name;    /* unique, UTF-8; saved state is keyed by it */
    const size_t *shape; /* axis lengths; may be null when there are none */
    size_t axes;         /* number of axes; 0 for a scalar */
} VeloTensor;

typedef enum VeloStatus {
    VELO_OK = 0,      /* done */
    VELO_SKIPPED = 1, /* velo_step only: something was not finite, nothing changed, the skip was counted */
    VELO_ERROR = 2    /* nothing changed; see velo_last_error */
} VeloStatus;

/* A learned optimizer from a file of frozen weights. Null on error. */
VeloOptimizer *velo_load(const char *weights, const VeloTensor *tensors, size_t tensor_count);

/* Any optimizer from its configuration as JSON, for example {"adamw": {"learning_rate": 0.003}} or
 * {"learned": {"weights": "learned.safetensors"}}; fields that are left out have their defaults. Null on error. */
VeloOptimizer *velo_configure(const char *json, const VeloTensor *tensors, size_t tensor_count);

/* Releases an optimizer; null is allowed. */
void velo_free(VeloOptimizer *optimizer);

/* One update of params in place. Both arrays have len elements, which must be velo_param_count. loss is the training
 * loss at params; optimizers that do not read it ignore it. */
VeloStatus velo_step(VeloOptimizer *optimizer, float *params, const float *grads, size_t len, float loss);

/* Writes the parameters to evaluate with into out: averages, where the optimizer keeps them ({"averaged": …},
 * schedule-free ones), else params themselves. Training goes on with params. Both arrays have len elements and must
 * not overlap. */
VeloStatus velo_evaluation_params(const VeloOptimizer *optimizer, const float *params, float *out, size_t len);

/* Elements of all tensors together; 0 for null. */
size_t velo_param_count(const VeloOptimizer *optimizer);

/* Updates applied, and calls that were skipped; 0 for null. */
uint64_t velo_steps_taken(const VeloOptimizer *optimizer);
uint64_t velo_steps_skipped(const VeloOptimizer *optimizer);

/* Declares the number of steps planned in total; 0 takes the declaration back. */
VeloStatus velo_set_horizon(VeloOptimizer *optimizer, uint64_t steps);

/* Warm-up over the first share of the horizon, then half a cosine down to floor (both shares of 1). */
VeloStatus velo_set_cosine_schedule(VeloOptimizer *optimizer, float warmup, float floor);

/* The factor on every step; 1 is native for a learned optimizer. */
VeloStatus velo_set_step_multiplier(VeloOptimizer *optimizer, float multiplier);

/* The coefficient of decoupled weight decay. */
VeloStatus velo_set_weight_decay(VeloOptimizer *optimizer, float coefficient);

/* Writes the complete state into buffer if its capacity is enough, and its size to *size in any case; a null buffer
 * with capacity 0 asks for the size only. */
VeloStatus velo_save_state(const VeloOptimizer *optimizer, uint8_t *buffer, size_t capacity, size_t *size);

/* Restores what velo_save_state wrote: the run continues bit for bit. */
VeloStatus velo_load_state(VeloOptimizer *optimizer, const uint8_t *bytes, size_t size);

/* The last error of this thread as text, empty if there was none. Valid until the next call from this thread. */
const char *velo_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
