/* What sha256.c, hmac.c, cpu.c and the kernels share; private to the library. */
#ifndef HFT_SHA256_KERNELS_H
#define HFT_SHA256_KERNELS_H

#include "hft/endian.h"
#include "hft/sha256.h"

/* A padded message: its whole blocks where they lie, and the rest with the padding (hft_sha256_pad). */
typedef struct {
    const uint8_t *data;
    size_t n_blocks, n_tail;
    uint8_t tail[128];
} hft_sha256_padded;

static inline const uint8_t *hft_sha256_block(const hft_sha256_padded *m, size_t i) {
    return i < m->n_blocks ? m->data + 64 * i : m->tail + 64 * (i - m->n_blocks);
}

/* One implementation of the compression function in the three shapes that callers need. */
typedef struct {
    const char *name;
    void (*blocks)(hft_sha256_state *state, const void *data, size_t n_blocks);
    /* The double hashes of two messages, side by side as far as both go. */
    void (*double2)(uint8_t out_a[32], const hft_sha256_padded *a, uint8_t out_b[32], const hft_sha256_padded *b);
    /* The end of a hash of a hash, which sha256d and HMAC are, without a detour through bytes: n_blocks at data and
     * n_tail at tail go into inner, then inner, as the last 32 bytes of a message of outer_bits bits, into outer. */
    void (*finish)(uint8_t out[32], const hft_sha256_state *outer, uint32_t outer_bits, const hft_sha256_state *inner,
                   const void *data, size_t n_blocks, const void *tail, size_t n_tail);
} hft_sha256_kernels;

extern const hft_sha256_kernels hft_sha256_portable;
#if defined(__x86_64__)
extern const hft_sha256_kernels hft_sha256_shani;
#endif

extern const uint32_t hft_sha256_k[64];

/* Self-tests the kernels and, if they pass, makes them the ones in use. Errors: HFT_E_SELF_TEST. */
int hft_sha256_select(const hft_sha256_kernels *kernels);

/* Finishes a hash of a hash with the kernel in use; see hft_sha256_kernels. data: what is left of the inner message, of
 * which `hashed` bytes (a multiple of 64) are in *inner already. */
void hft_sha256_finish(uint8_t out[32], const hft_sha256_state *outer, uint32_t outer_bits,
                       const hft_sha256_state *inner, uint64_t hashed, const void *data, size_t len);

/* The same for a rest that is padded where it lies. */
void hft_sha256_finish_padded(uint8_t out[32], const hft_sha256_state *outer, uint32_t outer_bits,
                              const hft_sha256_state *inner, const void *blocks, size_t n_blocks);

/* Pads the last `len` (< 64) bytes of a message of total_len bytes; returns the number of blocks, 1 or 2. */
static inline size_t hft_sha256_pad(uint8_t tail[128], const void *data, size_t len, uint64_t total_len) {
    size_t n_blocks = len < 56 ? 1 : 2;
    memset(tail, 0, 128);
    if (len != 0) memcpy(tail, data, len);
    tail[len] = 0x80;
    hft_store_be64(tail + 64 * n_blocks - 8, total_len * 8);
    return n_blocks;
}

#endif
