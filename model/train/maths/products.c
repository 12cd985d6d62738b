#include "products.h"

#include "defs.h"
#include "kernels/bf16_gemm.h"
#include "kernels/packed_gemm.h"

static const char *const names[] = {[PRECISION_F32] = "f32", [PRECISION_BF16] = "bf16"};

static enum precision precision_in_use = PRECISION_F32;

void products_use(enum precision precision)
{
    precision_in_use = precision;
}

enum precision products_best_precision(void)
{
    return bf16_gemm_is_fast() ? PRECISION_BF16 : PRECISION_F32;
}

const char *precision_name(enum precision precision)
{
    return names[precision];
}

bool precision_parse(enum precision *ret_precision, const char *name)
{
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        if (!strcmp(name, names[k])) {
            *ret_precision = (enum precision)k;
            return true;
        }
    return false;
}

#ifdef TRAIN_DOUBLE

void product_linear(real *y, const real *x, const real *w, size_t B, size_t n_in, size_t n_out,
                    bool add)
{
    real_linear(y, x, w, B, n_in, n_out, add);
}

void product_linear_dx(real *dx, const real *dy, const real *w, size_t B, size_t n_in, size_t n_out,
                       bool add)
{
    real_linear_dx(dx, dy, w, B, n_in, n_out, add);
}

void product_linear_dw(real *dw, const real *x, const real *dy, size_t B, size_t n_in, size_t n_out)
{
    real_linear_dw(dw, x, dy, B, n_in, n_out);
}

size_t product_packed_size(size_t n_in, size_t n_out)
{
    return n_in * n_out;
}

void product_pack(real *packed, const real *w, size_t n_in, size_t n_out, bool transposed)
{
    for (size_t k = 0; k < n_in * n_out; k++)
        packed[k] = transposed ? w[k % n_out * n_in + k / n_out] : w[k];
}

void product_packed_linear(real *y, const real *x, const real *packed, size_t B, size_t n_in,
                           size_t n_out, bool add)
{
    real_linear(y, x, packed, B, n_in, n_out, add);
}

#else

/* Rows of x [rows, n] as a factor that is summed along each row, or along the columns. */
static struct bf16_factor along_rows(const float *x, size_t n)
{
    return (struct bf16_factor){.values = x, .stride = n, .k_stride = 1};
}

static struct bf16_factor along_columns(const float *x, size_t n)
{
    return (struct bf16_factor){.values = x, .stride = 1, .k_stride = n};
}

void product_linear(real *y, const real *x, const real *w, size_t B, size_t n_in, size_t n_out,
                    bool add)
{
    if (precision_in_use == PRECISION_BF16)
        bf16_gemm(y, along_rows(x, n_in), along_columns(w, n_out), B, n_out, n_in, add);
    else
        real_linear(y, x, w, B, n_in, n_out, add);
}

void product_linear_dx(real *dx, const real *dy, const real *w, size_t B, size_t n_in, size_t n_out,
                       bool add)
{
    if (precision_in_use == PRECISION_BF16)
        bf16_gemm(dx, along_rows(dy, n_out), along_rows(w, n_out), B, n_in, n_out, add);
    else
        real_linear_dx(dx, dy, w, B, n_in, n_out, add);
}

void product_linear_dw(real *dw, const real *x, const real *dy, size_t B, size_t n_in, size_t n_out)
{
    if (precision_in_use == PRECISION_BF16)
        bf16_gemm(dw, along_columns(x, n_in), along_columns(dy, n_out), n_in, n_out, B, true);
    else
        real_linear_dw(dw, x, dy, B, n_in, n_out);
}

size_t product_packed_size(size_t n_in, size_t n_out)
{
    size_t f32 = packed_gemm_floats(n_in, n_out), bf16 = bf16_packed_size(n_out, n_in);
    return f32 > bf16 ? f32 : bf16;
}

void product_pack(real *packed, const real *w, size_t n_in, size_t n_out, bool transposed)
{
    if (precision_in_use == PRECISION_BF16)
        bf16_pack((void *)packed, transposed ? along_rows(w, n_in) : along_columns(w, n_out), n_out,
                  n_in);
    else if (transposed)
        packed_gemm_pack_transposed(packed, w, n_in, n_out);
    else
        packed_gemm_pack(packed, w, n_in, n_out);
}

void product_packed_linear(real *y, const real *x, const real *packed, size_t B, size_t n_in,
                           size_t n_out, bool add)
{
    if (precision_in_use == PRECISION_BF16)
        bf16_packed_gemm(y, x, B, (const void *)packed, n_out, n_in, add);
    else
        packed_gemm(y, x, B, packed, n_in, n_out, add);
}

#endif
