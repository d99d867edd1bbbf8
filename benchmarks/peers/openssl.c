#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_CTX: still the fastest that OpenSSL 3 has */
#include "openssl.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "bench.h"
#include "hft/endian.h"

static const uint8_t *key;
static size_t key_len;
static const uint8_t *mac_key; /* NULL: the context keeps it; before OpenSSL 3.0.3 it must be given each time */
static size_t mac_key_len;
static EVP_MAC_CTX *mac, *prefix_mac;
static EVP_MD_CTX *md;
static SHA256_CTX inner, outer, prefix; /* after the pads; after the pad and a constant beginning */
static size_t absorbed;                 /* bytes of that beginning */

static void pad(SHA256_CTX *state, uint8_t byte) {
    uint8_t block[64];
    if (key_len > sizeof block) die("keys of more than a block are hashed first, which no benchmark needs");
    memset(block, byte, sizeof block);
    for (size_t i = 0; i < key_len; i++) block[i] ^= key[i];
    SHA256_Init(state);
    SHA256_Update(state, block, sizeof block);
}

void openssl_open(const uint8_t *secret, size_t secret_len) {
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", (char *)(uintptr_t)"SHA256", 0), OSSL_PARAM_END};
    key = secret;
    key_len = secret_len;
    md = EVP_MD_CTX_new();
    mac = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "HMAC", NULL));
    if (!EVP_DigestInit_ex(md, sha256, NULL) || !EVP_MAC_init(mac, key, key_len, params)) die("OpenSSL");
    if (OpenSSL_version_num() < 0x30000030) {
        mac_key = key;
        mac_key_len = key_len;
    }
    pad(&inner, 0x36);
    pad(&outer, 0x5c);
}

void openssl_sha256_evp(uint8_t out[32], const void *data, size_t len) {
    unsigned out_len;
    if (!EVP_DigestInit_ex(md, NULL, NULL) || !EVP_DigestUpdate(md, data, len) ||
        !EVP_DigestFinal_ex(md, out, &out_len))
        die("EVP_Digest");
}

void openssl_hmac_evp(uint8_t out[32], const void *msg, size_t len) {
    size_t out_len;
    if (!EVP_MAC_init(mac, mac_key, mac_key_len, NULL) || !EVP_MAC_update(mac, msg, len) ||
        !EVP_MAC_final(mac, out, &out_len, 32))
        die("EVP_MAC");
}

void openssl_sha256d_oneshot(uint8_t out[32], const void *data, size_t len) {
    if (!EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) || !EVP_Digest(out, 32, out, NULL, EVP_sha256(), NULL))
        die("EVP_Digest");
}

void openssl_hmac_oneshot(uint8_t out[32], const void *msg, size_t len) {
    if (HMAC(EVP_sha256(), key, (int)key_len, msg, len, out, NULL) == NULL) die("HMAC");
}

void openssl_hmac_copied(uint8_t out[32], const void *msg, size_t len) {
    uint8_t digest[32];
    SHA256_CTX state = inner;
    SHA256_Update(&state, msg, len);
    SHA256_Final(digest, &state);
    state = outer;
    SHA256_Update(&state, digest, sizeof digest);
    SHA256_Final(out, &state);
}

void openssl_sha256d_lowlevel(uint8_t out[32], const void *data, size_t len) {
    SHA256_CTX state;
    SHA256_Init(&state);
    SHA256_Update(&state, data, len);
    SHA256_Final(out, &state);
    SHA256_Init(&state);
    SHA256_Update(&state, out, 32);
    SHA256_Final(out, &state);
}

static void digest_of(uint8_t out[32], const SHA256_CTX *state) {
    for (int i = 0; i < 8; i++) hft_store_be32(out + 4 * i, state->h[i]);
}

/* The end of a message that has been `before` bytes long, then the outer hash. */
static void finish(uint8_t out[32], SHA256_CTX *state, const uint8_t *rest, size_t len, size_t before) {
    uint8_t blocks[128], *last;
    for (; len >= 64; rest += 64, len -= 64, before += 64) SHA256_Transform(state, rest);
    last = blocks + (len < 56 ? 0 : 64);
    memcpy(blocks, rest, len);
    memset(blocks + len, 0, (size_t)(last + 56 - blocks) - len);
    blocks[len] = 0x80;
    hft_store_be64(last + 56, (before + len) * 8);
    SHA256_Transform(state, blocks);
    if (last != blocks) SHA256_Transform(state, last);
    digest_of(blocks, state);
    blocks[32] = 0x80;
    memset(blocks + 33, 0, 56 - 33);
    hft_store_be64(blocks + 56, (64 + 32) * 8);
    *state = outer;
    SHA256_Transform(state, blocks);
    digest_of(out, state);
}

void openssl_hmac_transform(uint8_t out[32], const void *msg, size_t len) {
    SHA256_CTX state = inner;
    finish(out, &state, msg, len, 64);
}

void openssl_prefix_init(const void *text, size_t prefix_len) {
    prefix = inner;
    absorbed = prefix_len;
    SHA256_Update(&prefix, text, prefix_len);
    if (!EVP_MAC_init(mac, mac_key, mac_key_len, NULL) || (prefix_mac = EVP_MAC_CTX_dup(mac)) == NULL ||
        !EVP_MAC_update(prefix_mac, text, prefix_len))
        die("EVP_MAC");
}

void openssl_hmac_dup_tail(uint8_t out[32], const void *tail, size_t tail_len) {
    size_t out_len;
    EVP_MAC_CTX *copy = EVP_MAC_CTX_dup(prefix_mac);
    if (copy == NULL || !EVP_MAC_update(copy, tail, tail_len) || !EVP_MAC_final(copy, out, &out_len, 32))
        die("EVP_MAC");
    EVP_MAC_CTX_free(copy);
}

void openssl_hmac_transform_tail(uint8_t out[32], const void *tail, size_t tail_len) {
    SHA256_CTX state = prefix;
    finish(out, &state, tail, tail_len, 64 + absorbed);
}
