#pragma once
/* Products with one matrix that is multiplied many times by few rows, as the steps of an LSTM do.
 * sgemm packs the matrix again on every call, which for 2 to 32 rows takes as long as the product
 * itself; here it is packed once: by panels of as many columns as two vector registers hold, each
 * panel input by input, the last one filled up with zeros.
 *
 * A row's result has the same bits whatever rows are beside it: every element is summed in the
 * order of the inputs. How a matrix is packed depends on the processor: packed floats never leave
 * the process. No allocation, no state; any thread. */
#include <stdbool.h>
#include <stddef.h>

/* Floats that a packed matrix takes. */
size_t packed_gemm_floats(size_t n_in, size_t n_out);

/* Packs w [n_in, n_out], or the transpose of w [n_out, n_in]. packed [packed_gemm_floats(n_in,
 * n_out)], aligned to 64 bytes. */
void packed_gemm_pack(float *packed, const float *w, size_t n_in, size_t n_out);
void packed_gemm_pack_transposed(float *packed, const float *w, size_t n_in, size_t n_out);

/* y [B, n_out] = x [B, n_in] @ the packed matrix, or, with `add`, y += that. */
void packed_gemm(float *y, const float *x, size_t B, const float *packed, size_t n_in, size_t n_out,
                 bool add);
