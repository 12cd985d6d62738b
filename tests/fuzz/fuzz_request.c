/* libFuzzer target, for clang:
 *
 *     CC=clang CFLAGS=-fsanitize=fuzzer-no-link meson setup build-fuzz \
 *         -Db_sanitize=address,undefined -Db_lundef=false
 *     ninja -C build-fuzz tests/fuzz/fuzz_request
 *     mkdir corpus
 *     build-fuzz/tests/fuzz/fuzz_request -max_len=4096 -dict=tests/fuzz/request.dict corpus \
 *         tests/cases/fuzz_request
 *
 * Commit an input that fails to tests/cases/fuzz_request, together with the fix. The test suite
 * replays that folder. */
#include <stdint.h>

#include "request_property.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    check_request_property(bytes, n_bytes);
    return 0;
}
