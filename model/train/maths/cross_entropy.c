#include "cross_entropy.h"

#include <math.h>

double cross_entropy(double *z, size_t n, uint32_t label)
{
    double greatest = z[0], sum = 0, target = z[n == 1 ? 0 : label];
    if (n == 1) { /* log(1 + exp(-|x|)) + max(x, 0) - label * x */
        z[0] = 1 / (1 + exp(-target)) - label;
        return log1p(exp(-fabs(target))) + fmax(target, 0) - label * target;
    }
    for (size_t k = 1; k < n; k++)
        greatest = fmax(greatest, z[k]);
    for (size_t k = 0; k < n; k++)
        sum += z[k] = exp(z[k] - greatest);
    for (size_t k = 0; k < n; k++)
        z[k] = z[k] / sum - (k == label);
    return greatest + log(sum) - target;
}
