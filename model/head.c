#include "head.h"

#include <math.h>

#include "kernels/kernels.h"
#include "mix.h"

int head_run(float *probabilities, const float *pooled, const struct head_weights *head,
             struct arena *arena)
{
    float *hidden = ARENA_NEW(arena, float, head->hidden_dim);
    float *logits = ARENA_NEW(arena, float, head->output_dim);
    if (!hidden || !logits)
        return ELMO_E_NOMEM;
    kernel_linear(hidden, pooled, 1, head->dense_1_kernel, head->dense_1_bias, head->input_dim,
                  head->hidden_dim);
    kernel_relu(hidden, head->hidden_dim);
    kernel_linear(logits, hidden, 1, head->dense_2_kernel, head->dense_2_bias, head->hidden_dim,
                  head->output_dim);
    if (head->output_dim == 1) { /* sigmoid: the probability of the second label */
        probabilities[0] = 1 / (1 + expf(logits[0]));
        probabilities[1] = 1 / (1 + expf(-logits[0]));
        return 0;
    }
    softmax(logits, head->output_dim);
    for (size_t k = 0; k < head->output_dim; k++)
        probabilities[k] = logits[k];
    return 0;
}
