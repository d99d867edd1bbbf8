#include "sha256_kernels.h"

void hft_sha256_many(uint8_t *out, const void *const *data, const size_t *len, size_t n) {
    for (size_t i = 0; i < n; i++) hft_sha256_digest(out + 32 * i, data[i], len[i]);
}

void hft_sha256d_many(uint8_t *out, const void *const *data, const size_t *len, size_t n) {
    for (size_t i = 0; i < n; i++) hft_sha256d_digest(out + 32 * i, data[i], len[i]);
}

void hft_sha256_items(uint8_t *out, const void *data, size_t item_size, size_t n) {
    for (size_t i = 0; i < n; i++) hft_sha256_digest(out + 32 * i, (const uint8_t *)data + item_size * i, item_size);
}

void hft_sha256d_items(uint8_t *out, const void *data, size_t item_size, size_t n) {
    for (size_t i = 0; i < n; i++) hft_sha256d_digest(out + 32 * i, (const uint8_t *)data + item_size * i, item_size);
}

int hft_merkle_root(uint8_t out[32], uint8_t *level, size_t n) {
    int mutated = 0;
    while (n > 1) {
        uint8_t last[64];
        size_t n_pairs = n / 2;
        for (size_t i = 0; i < n_pairs; i++) mutated |= memcmp(level + 64 * i, level + 64 * i + 32, 32) == 0;
        if ((n & 1) != 0) {
            memcpy(last, level + 32 * (n - 1), 32);
            memcpy(last + 32, last, 32);
        }
        hft_sha256d_items(level, level, 64, n_pairs);
        if ((n & 1) != 0) hft_sha256d_digest(level + 32 * n_pairs, last, sizeof last);
        n = n_pairs + (n & 1);
    }
    memcpy(out, level, 32);
    return mutated;
}
