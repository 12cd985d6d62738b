#pragma once
/* The number types that matrices are multiplied in, and their names: the one table of both. */
#include <stdbool.h>
#include <string.h>

/* A smaller type is faster and less exact (model/inference/README.md has the figures). */
enum elmo_dtype { ELMO_DTYPE_F32, ELMO_DTYPE_BF16, ELMO_DTYPE_INT8, ELMO_N_DTYPES };

#define ELMO_DTYPE_CHOICES "f32|bf16|int8" /* in the enum's order */

/* "f32", "bf16" or "int8"; static. */
static inline const char *elmo_dtype_name(enum elmo_dtype dtype)
{
    static const char *const names[ELMO_N_DTYPES] = {"f32", "bf16", "int8"};
    return names[dtype];
}

/* False: no dtype has this name. */
static inline bool elmo_dtype_parse(enum elmo_dtype *ret_dtype, const char *name)
{
    for (int k = 0; k < ELMO_N_DTYPES; k++) {
        if (!strcmp(name, elmo_dtype_name((enum elmo_dtype)k))) {
            *ret_dtype = (enum elmo_dtype)k;
            return true;
        }
    }
    return false;
}
