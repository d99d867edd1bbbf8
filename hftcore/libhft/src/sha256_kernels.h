/* What sha256.c, sha256_many.c, hmac.c, cpu.c and the kernels share; private to the library. */
#ifndef HFT_SHA256_KERNELS_H
#define HFT_SHA256_KERNELS_H

#include "hft/endian.h"
#include "hft/sha256.h"

/* From where a message's hash starts, and what is made of it. `hashed` bytes (a multiple of 64) are in *inner already.
 * A hash of a hash, which sha256d and HMAC are, goes on with the inner digest as the last 32 bytes of a message of
 * outer_bits bits, whose beginning is in *outer; a plain hash has no outer (NULL). */
typedef struct {
    const hft_sha256_state *inner, *outer;
    uint64_t hashed;
    uint32_t outer_bits;
} hft_sha256_ends;

/* One implementation of the compression function in the shapes that callers of one or two messages need. What ends is
 * padded by the kernel, and a digest goes into its own hash, without a detour through memory. */
typedef struct {
    void (*blocks)(hft_sha256_state *state, const void *data, size_t n_blocks);
    void (*digest)(uint8_t out[32], const hft_sha256_ends *ends, const void *data, size_t len);
    /* As digest, with an outer hash, of a message that is padded where it lies. */
    void (*digest_padded)(uint8_t out[32], const hft_sha256_ends *ends, const void *blocks, size_t n_blocks);
    /* hft_sha256d_digest2(): side by side as far as both go. */
    void (*double2)(uint8_t out_a[32], const void *a, size_t a_len, uint8_t out_b[32], const void *b, size_t b_len);
} hft_sha256_kernel_one;

enum { HFT_SHA256_LANES = 32 }; /* of the widest kernel */

/* The state of as many messages: word by word, in a lane of their own each. 64-byte aligned. */
typedef uint32_t hft_sha256_lanes[8][HFT_SHA256_LANES];

/* The first `width` lanes at once. Every one is hashed, wanted or not, and has data that may be read. */
typedef struct {
    size_t width;
    /* Every lane starts there. */
    void (*start)(hft_sha256_lanes state, const hft_sha256_state *from);
    /* n_blocks whole blocks of every lane. */
    void (*blocks)(hft_sha256_lanes state, const uint8_t *const *data, size_t n_blocks);
    /* One block of every lane, whole or not: left[i] bytes of the message are at data[i]. Where that is less than 64,
     * the padding follows, and bits[i], the message's length, ends the block if it fits in, that is if left[i] < 56.
     * With a negative left[i] the block is the one that holds the length alone. */
    void (*ends)(hft_sha256_lanes state, const uint8_t *const *data, const int64_t *left, const uint64_t *bits);
    /* Takes each lane's state as a digest and hashes it as the last 32 bytes of a message of `bits` bits that began as
     * *start. */
    void (*outer)(hft_sha256_lanes state, const hft_sha256_state *start, uint32_t bits);
    /* Writes the lanes' digests one after the other. */
    void (*digests)(uint8_t *out, hft_sha256_lanes state);
} hft_sha256_kernel_lanes;

/* A kernel of lanes, and the least number of messages for which it is better than the ones behind it. */
typedef struct {
    const hft_sha256_kernel_lanes *lanes;
    size_t least;
} hft_sha256_step;

/* What a level uses: for single messages, and for batches the widest kernel first; lanes == NULL ends the list. */
typedef struct {
    const char *name;
    const hft_sha256_kernel_one *one;
    hft_sha256_step steps[4];
} hft_sha256_kernels;

extern const hft_sha256_kernel_one hft_sha256_portable;
#if defined(__x86_64__)
extern const hft_sha256_kernel_one hft_sha256_shani;
extern const hft_sha256_kernel_lanes hft_sha256_shani2, hft_sha256_avx2x8, hft_sha256_avx512x16, hft_sha256_avx512x32;
#endif

extern const uint32_t hft_sha256_k[64];

/* Self-tests the kernels and, if they pass, makes them the ones in use. Errors: HFT_E_SELF_TEST. */
int hft_sha256_select(const hft_sha256_kernels *kernels);
/* The lanes' part of it: each kernel of the list, against the level's single messages. */
int hft_sha256_test_lanes(const hft_sha256_kernels *kernels);
const hft_sha256_kernels *hft_sha256_in_use(void);

extern const hft_sha256_ends hft_sha256_single, hft_sha256_double;
/* n messages, their digests one after the other. */
void hft_sha256_batch(uint8_t *out, const hft_sha256_ends *ends, const void *const *data, const size_t *len, size_t n);

/* Writes the block that begins at data, of a message of `bits` bits: see hft_sha256_kernel_lanes.ends, left < 64. */
static inline void hft_sha256_pad(uint8_t block[64], const uint8_t *data, int64_t left, uint64_t bits) {
    memset(block, 0, 64);
    if (left > 0) memcpy(block, data, (size_t)left);
    if (left >= 0) block[left] = 0x80;
    if (left < 56) hft_store_be64(block + 56, bits);
}

/* The same for all the lanes of a kernel that takes whole blocks only: fills `padded`, and `all` with what to hash. */
static inline void hft_sha256_pad_lanes(const uint8_t **all, uint8_t (*padded)[64], const uint8_t *const *data,
                                        const int64_t *left, const uint64_t *bits, size_t width) {
    for (size_t i = 0; i < width; i++) {
        all[i] = data[i];
        if (left[i] >= 64) continue;
        hft_sha256_pad(padded[i], data[i], left[i], bits[i]);
        all[i] = padded[i];
    }
}

#endif
