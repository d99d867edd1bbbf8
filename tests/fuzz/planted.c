/* A target with a planted mistake, found only step by step: the test of the driver itself. */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 6 || data[0] != 'o') return 0;
    if (data[1] != 'r') return 0;
    if (data[2] != 'd') return 0;
    if (data[3] != 'e') return 0;
    if (data[4] != 'r') return 0;
    return data[size];
}
