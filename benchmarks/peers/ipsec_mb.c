#include "ipsec_mb.h"

#include <intel-ipsec-mb.h>

#include "bench.h"
#include "hft/cpu.h"

static IMB_MGR *one, *many;
static uint32_t inner[8], outer[8]; /* states after the pads */

static void check(IMB_MGR *manager) {
    if (manager == NULL) die("libipsec-mb: no memory");
    if (imb_get_errno(manager) != 0) die("libipsec-mb: %s", imb_get_strerror(imb_get_errno(manager)));
}

static void pad(uint32_t state[8], uint8_t byte, const uint8_t *secret, size_t len) {
    uint8_t block[64];
    memset(block, byte, sizeof block);
    for (size_t i = 0; i < len; i++) block[i] ^= secret[i];
    IMB_SHA256_ONE_BLOCK(one, block, state);
}

void ipsec_mb_open(const uint8_t *secret, size_t secret_len) {
    if (secret_len > 64) die("a key of more than a block");
    one = alloc_mb_mgr(0);
    many = alloc_mb_mgr(0);
    check(one);
    check(many);
    init_mb_mgr_auto(many, NULL);
    if (hft_cpu_features() & HFT_CPU_SHANI) init_mb_mgr_sse(one);
    else init_mb_mgr_auto(one, NULL);
    check(one);
    check(many);
    pad(inner, 0x36, secret, secret_len);
    pad(outer, 0x5c, secret, secret_len);
}

/* Submits a job, and returns one that is done, or NULL. */
static const IMB_JOB *submit(IMB_MGR *manager, IMB_HASH_ALG hash, uint8_t *out, const void *msg, size_t len) {
    IMB_JOB *job = IMB_GET_NEXT_JOB(manager);
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->hash_alg = hash;
    job->src = msg;
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = len;
    job->u.HMAC._hashed_auth_key_xor_ipad = (const uint8_t *)inner;
    job->u.HMAC._hashed_auth_key_xor_opad = (const uint8_t *)outer;
    job->auth_tag_output = out;
    job->auth_tag_output_len_in_bytes = 32;
    return IMB_SUBMIT_JOB_NOCHECK(manager);
}

void ipsec_mb_hmac(uint8_t out[32], const void *msg, size_t len) {
    const IMB_JOB *job = submit(one, IMB_AUTH_HMAC_SHA_256, out, msg, len);
    if (job == NULL) job = IMB_FLUSH_JOB(one);
    if (job == NULL || job->status != IMB_STATUS_COMPLETED) die("libipsec-mb: HMAC failed");
}

static void pass(uint8_t *out, const uint8_t *items, size_t item_len, size_t n) {
    size_t done = 0;
    for (size_t i = 0; i < n; i++)
        if (submit(many, IMB_AUTH_SHA_256, out + 32 * i, items + item_len * i, item_len) != NULL) done++;
    while (IMB_FLUSH_JOB(many) != NULL) done++;
    if (done != n) die("libipsec-mb: %zu of %zu hashes", done, n);
}

void ipsec_mb_sha256d_many(uint8_t *out, const uint8_t *items, size_t item_len, size_t n) {
    pass(out, items, item_len, n);
    pass(out, out, 32, n);
}
