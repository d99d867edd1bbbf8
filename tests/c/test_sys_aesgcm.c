/* AES-GCM against OpenSSL's, at every length, alignment and distance from the end of readable and writable memory. */
#include <openssl/evp.h>
#include <sys/mman.h>

#include "check.h"
#include "hft/aesgcm.h"
#include "hft/cpu.h"

#define LEN_MAX 16385
#define AAD_MAX 48
#define AREA 20480 /* a multiple of the page */

static uint64_t noise_state = 1;

static uint64_t noise(void) { /* xorshift64 */
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return noise_state;
}
static void fill(uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++) p[i] = (uint8_t)(noise() >> 32);
}

/* The end of AREA bytes with no page before and none behind them. */
static uint8_t *guarded_end(void) {
    uint8_t *p = mmap(NULL, AREA + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && mprotect(p + 4096, AREA, PROT_READ | PROT_WRITE) == 0);
    return p + 4096 + AREA;
}

static EVP_CIPHER_CTX *ctx;

static void openssl_seal(uint8_t *out, uint8_t *tag, const uint8_t *key, size_t key_len, const uint8_t *nonce,
                         const uint8_t *aad, size_t aad_len, const uint8_t *data, size_t len) {
    int n;
    CHECK_EQ(EVP_EncryptInit_ex(ctx, key_len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), NULL, key, nonce), 1);
    if (aad_len != 0) CHECK_EQ(EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_len), 1);
    if (len != 0) CHECK_EQ(EVP_EncryptUpdate(ctx, out, &n, data, (int)len), 1);
    CHECK_EQ(EVP_EncryptFinal_ex(ctx, tag, &n), 1);
    CHECK_EQ(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, HFT_AESGCM_TAG_LEN, tag), 1);
}

typedef struct {
    hft_aesgcm g;
    uint8_t key[32], *data_end, *out_end, *aad_end, *tag_end, *nonce_end;
    size_t key_len;
} bench;

static void new_key(bench *b, size_t key_len) {
    fill(b->key, key_len);
    b->key_len = key_len;
    CHECK_EQ(hft_aesgcm_init(&b->g, b->key, key_len), 0);
}

/* All buffers end so many bytes before a page that is not there; with gap 0, and gap = AREA - len, at it. */
static void compare(bench *b, size_t len, size_t aad_len, size_t gap, int in_place) {
    static uint8_t expected[LEN_MAX], expected_tag[HFT_AESGCM_TAG_LEN];
    uint8_t *data = b->data_end - gap - len, *out = in_place ? data : b->out_end - gap - len;
    uint8_t *aad = b->aad_end - aad_len, *tag = b->tag_end - HFT_AESGCM_TAG_LEN;
    uint8_t *nonce = b->nonce_end - HFT_AESGCM_NONCE_LEN;
    uint8_t around[2][64];
    size_t before = gap + len + 64 <= AREA ? 64 : 0, after = gap < 64 ? gap : 64;
    fill(data, len);
    fill(aad, aad_len);
    fill(nonce, HFT_AESGCM_NONCE_LEN);
    openssl_seal(expected, expected_tag, b->key, b->key_len, nonce, aad, aad_len, data, len);
    memcpy(around[0], out - before, before);
    memcpy(around[1], out + len, after);
    hft_aesgcm_seal(&b->g, out, tag, nonce, aad, aad_len, data, len);
    CHECK_MEM(out, expected, len);
    CHECK_MEM(tag, expected_tag, HFT_AESGCM_TAG_LEN);
    CHECK_MEM(out - before, around[0], before);
    CHECK_MEM(out + len, around[1], after);
}

static void test_every_length(bench *b, size_t key_len) {
    for (size_t len = 0; len <= 1100; len++) {
        if (len % 50 == 0) new_key(b, key_len);
        compare(b, len, len % 33, 0, len & 1);
        compare(b, len, 5, AREA - len, ~len & 1); /* at the beginning of what is readable */
    }
    static const size_t some[] = {2047, 2048, 4096, 8191, 16383, 16384, 16385};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        for (int in_place = 0; in_place < 2; in_place++) compare(b, some[i], 5, 0, in_place);
}

static void test_every_aad(bench *b, size_t key_len) {
    static const size_t lens[] = {0, 1, 15, 16, 17, 111, 112, 113, 471};
    for (size_t aad_len = 0; aad_len <= AAD_MAX; aad_len++) {
        new_key(b, key_len);
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) compare(b, lens[i], aad_len, 0, 0);
    }
}

static void test_every_alignment(bench *b, size_t key_len) {
    new_key(b, key_len);
    for (size_t gap = 0; gap < 64; gap++)
        for (size_t len = 460; len < 480; len++) compare(b, len, 5, gap, (int)(gap ^ len) & 1);
}

static void test_level(bench *b, const char *level) {
    int rc = hft_init(level);
    if (rc == HFT_E_CPU_LEVEL) return;
    CHECK_EQ(rc, 0);
    if (!hft_aesgcm_available()) return;
    for (size_t key_len = 16; key_len <= 32; key_len += 16) {
        test_every_length(b, key_len);
        test_every_aad(b, key_len);
        test_every_alignment(b, key_len);
    }
}

int main(void) {
    static bench b;
    ctx = EVP_CIPHER_CTX_new();
    b.data_end = guarded_end();
    b.out_end = guarded_end();
    b.aad_end = guarded_end();
    b.tag_end = guarded_end();
    b.nonce_end = guarded_end();
    test_level(&b, NULL);
    test_level(&b, "shani");
    EVP_CIPHER_CTX_free(ctx);
    return check_done();
}
