/* Fits a line from C, saves the state half way and continues from it.
 *
 *     cargo build --release -p velo-optimizer-c
 *     cc optimizer/c_abi/examples/least_squares.c -I optimizer/c_abi/include \
 *         target/release/libvelo_optimizer_c.a -lm -lpthread -ldl -o least_squares
 *     ./least_squares                          with AdamW
 *     ./least_squares learned.safetensors      with frozen learned weights
 */
#include <stdio.h>
#include <stdlib.h>

#include "velo.h"

enum { POINTS = 100, STEPS = 1000 };

static void check(int succeeded) {
    if (!succeeded) {
        fprintf(stderr, "error: %s\n", velo_last_error());
        exit(1);
    }
}

static VeloOptimizer *make(const char *weights) {
    const size_t shape[] = {1};
    const VeloTensor tensors[] = {{"slope", shape, 1}, {"offset", shape, 1}};
    VeloOptimizer *optimizer = weights ? velo_load(weights, tensors, 2)
                                       : velo_configure("{\"adamw\": {\"learning_rate\": 0.05, \"weight_decay\": 0}}", tensors, 2);
    check(optimizer != NULL);
    return optimizer;
}

/* The loss of y = 3 x - 2 over points in [-1, 1], and its gradient. */
static float loss_and_gradient(const float *params, float *grads) {
    float loss = 0;
    grads[0] = grads[1] = 0;
    for (int i = 0; i < POINTS; i++) {
        float x = i / 50.0f - 1;
        float error = params[0] * x + params[1] - (3 * x - 2);
        loss += error * error / POINTS;
        grads[0] += 2 * error * x / POINTS;
        grads[1] += 2 * error / POINTS;
    }
    return loss;
}

static void train(VeloOptimizer *optimizer, float *params, int first, int end) {
    float grads[2];
    for (int step = first; step < end; step++) {
        float loss = loss_and_gradient(params, grads);
        if (step % 250 == 0) printf("step %4d  loss %.6f  y = %.3f x %+.3f\n", step, loss, params[0], params[1]);
        check(velo_step(optimizer, params, grads, 2, loss) == VELO_OK);
    }
}

int main(int argc, char **argv) {
    const char *weights = argc > 1 ? argv[1] : NULL;
    VeloOptimizer *optimizer = make(weights);
    check(velo_set_horizon(optimizer, STEPS) == VELO_OK);
    check(velo_set_cosine_schedule(optimizer, 0.05f, 0) == VELO_OK);
    float params[2] = {0, 0};
    train(optimizer, params, 0, STEPS / 2);

    size_t size = 0;
    check(velo_save_state(optimizer, NULL, 0, &size) == VELO_OK);
    uint8_t *state = malloc(size);
    check(velo_save_state(optimizer, state, size, &size) == VELO_OK);
    VeloOptimizer *resumed = make(weights);
    check(velo_load_state(resumed, state, size) == VELO_OK);
    free(state);
    float resumed_params[2] = {params[0], params[1]};

    train(optimizer, params, STEPS / 2, STEPS);
    train(resumed, resumed_params, STEPS / 2, STEPS);
    int same = params[0] == resumed_params[0] && params[1] == resumed_params[1];
    printf("y = %.3f x %+.3f after %llu steps, %s\n", params[0], params[1],
           (unsigned long long)velo_steps_taken(optimizer), same ? "the same when resumed" : "not the same when resumed");
    velo_free(optimizer);
    velo_free(resumed);
    return same ? 0 : 1;
}
