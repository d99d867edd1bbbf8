/* The pieces of the hot path beside OpenSSL's, one process, blocks of each in turn.
 *
 *   primitives CPU FOLDER BLOCKS
 *
 * Calls are chained through their data (each input holds the output before), so a figure is latency, as on the hot
 * path, and not throughput. A sample is the mean of 16 chained calls. Samples go to FOLDER/<name>.ours and .peer. */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "bench.h"
#include "hft/aesgcm.h"
#include "hft/cpu.h"
#include "hft/hmac.h"
#include "hft/sha256.h"
#include "hft/text.h"
#include "hft/ws.h"

#define CHAIN 16
#define BLOCK 512 /* samples of one side before the other has its turn */

static uint8_t message[256], order[256], digest[64];
static hft_hmac_key key;
static hft_hmac_prefix prefix;
static EVP_MAC_CTX *mac;
static const uint8_t *mac_key; /* NULL: the context keeps it; before OpenSSL 3.0.3 it must be given each time */
static size_t mac_key_len;
static EVP_MD_CTX *md;
static const EVP_MD *sha256;

#define RECORD 470 /* bytes of an order in a TLS record */

static uint8_t record[RECORD], header[5], nonce[HFT_AESGCM_NONCE_LEN];
static hft_aesgcm aesgcm;
static EVP_CIPHER_CTX *aead;

/* Each takes what `digest` holds into account and leaves its result there. */
static void sha256_ours(void) { hft_sha256_digest(digest, memcpy(message, digest, 32), 64); }
static void sha256_peer(void) {
    unsigned len;
    memcpy(message, digest, 32);
    if (!EVP_DigestInit_ex(md, NULL, NULL) || !EVP_DigestUpdate(md, message, 64) ||
        !EVP_DigestFinal_ex(md, digest, &len))
        die("EVP_Digest");
}
static void hmac_ours(void) { hft_hmac_digest(digest, &key, memcpy(message, digest, 32), 150); }
static void hmac_peer(void) {
    size_t len;
    memcpy(message, digest, 32);
    if (!EVP_MAC_init(mac, mac_key, mac_key_len, NULL) || !EVP_MAC_update(mac, message, 150) ||
        !EVP_MAC_final(mac, digest, &len, sizeof digest))
        die("EVP_MAC");
}
/* An order: 250 signed bytes of which the first 128 are constant. */
static void order_ours(void) { hft_hmac_digest_tail(digest, &key, &prefix, memcpy(order + 128, digest, 32), 122); }
static void order_peer(void) {
    size_t len;
    memcpy(order + 128, digest, 32);
    if (!EVP_MAC_init(mac, mac_key, mac_key_len, NULL) || !EVP_MAC_update(mac, order, 250) ||
        !EVP_MAC_final(mac, digest, &len, sizeof digest))
        die("EVP_MAC");
}

/* A record encrypted in place; the digest goes in as the first 32 bytes, the tag is the result. */
static void aesgcm_ours(void) {
    memcpy(record, digest, 32);
    hft_aesgcm_seal(&aesgcm, record, digest, nonce, header, sizeof header, record, RECORD);
}
static void aesgcm_peer(void) {
    int n;
    memcpy(record, digest, 32);
    OSSL_PARAM tag[] = {OSSL_PARAM_construct_octet_string("tag", digest, HFT_AESGCM_TAG_LEN), OSSL_PARAM_END};
    if (!EVP_EncryptInit_ex2(aead, NULL, NULL, nonce, NULL) ||
        !EVP_EncryptUpdate(aead, NULL, &n, header, sizeof header) ||
        !EVP_EncryptUpdate(aead, record, &n, record, RECORD) || !EVP_EncryptFinal_ex(aead, digest, &n) ||
        !EVP_CIPHER_CTX_get_params(aead, tag))
        die("EVP_Encrypt");
}

static const struct { const char *name; void (*ours)(void), (*peer)(void); } pairs[] = {
    {"sha256_64", sha256_ours, sha256_peer},
    {"hmac_150", hmac_ours, hmac_peer},
    {"hmac_order_250", order_ours, order_peer},
    {"aesgcm_seal_470", aesgcm_ours, aesgcm_peer},
};

static void measure(const hft_clock *clock, void (*call)(void), bench_samples *samples) {
    for (int i = 0; i < BLOCK; i++) {
        uint64_t before = bench_tick(clock);
        for (int j = 0; j < CHAIN; j++) call();
        uint64_t ns = hft_ticks_to_ns(clock, bench_tick(clock) - before);
        bench_samples_add(samples, ns * 10 / CHAIN); /* tenths of ns */
    }
}

/* Both must say the same: from the same start, after the same number of calls. */
static void compare(const char *name, void (*ours)(void), void (*peer)(void)) {
    uint8_t first[32];
    memset(digest, 7, sizeof digest);
    memset(record, 0, sizeof record);
    for (int i = 0; i < CHAIN; i++) ours();
    memcpy(first, digest, sizeof first);
    memset(digest, 7, sizeof digest);
    memset(record, 0, sizeof record);
    for (int i = 0; i < CHAIN; i++) peer();
    if (memcmp(first, digest, sizeof first) != 0) die("%s: ours and OpenSSL's differ", name);
}

int main(int argc, char **argv) {
    static const uint8_t secret[64] = "the secret of an exchange's API key is 64 characters long, say.";
    hft_clock clock;
    if (argc != 4) die("primitives CPU FOLDER BLOCKS");
    size_t blocks = (size_t)atoll(argv[3]);
    bench_pin(atoi(argv[1]));
    if (hft_init(NULL) < 0) die("the core fails its self-test");
    hft_clock_init(&clock);
    if (RAND_bytes(message, sizeof message) != 1 || RAND_bytes(order, sizeof order) != 1) die("RAND_bytes");
    hft_hmac_key_init(&key, secret, sizeof secret);
    hft_hmac_prefix_init(&prefix, &key, order, 128);
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    md = EVP_MD_CTX_new();
    mac = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "HMAC", NULL));
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", (char *)(uintptr_t)"SHA256", 0), OSSL_PARAM_END};
    if (!EVP_DigestInit_ex(md, sha256, NULL) || !EVP_MAC_init(mac, secret, sizeof secret, params)) die("OpenSSL");
    aead = EVP_CIPHER_CTX_new();
    if (!EVP_EncryptInit_ex2(aead, EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL), secret, nonce, NULL)) die("OpenSSL");
    if (hft_aesgcm_available() && hft_aesgcm_init(&aesgcm, secret, 16) < 0) die("hft_aesgcm_init");
    if (OpenSSL_version_num() < 0x30000030) {
        mac_key = secret;
        mac_key_len = sizeof secret;
    }

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        bench_samples ours, peer, warm_up;
        char path[512];
        if (pairs[i].ours == aesgcm_ours && !hft_aesgcm_available()) continue; /* this machine has no kernel for it */
        compare(pairs[i].name, pairs[i].ours, pairs[i].peer);
        bench_samples_open(&warm_up, 0);
        bench_samples_open(&ours, blocks * BLOCK);
        bench_samples_open(&peer, blocks * BLOCK);
        for (size_t block = 0; block < blocks; block++) {
            measure(&clock, pairs[i].ours, block == 0 ? &warm_up : &ours);
            measure(&clock, pairs[i].peer, block == 0 ? &warm_up : &peer);
        }
        snprintf(path, sizeof path, "%s/%s.ours", argv[2], pairs[i].name);
        bench_samples_write(&ours, path);
        snprintf(path, sizeof path, "%s/%s.peer", argv[2], pairs[i].name);
        bench_samples_write(&peer, path);
    }
    return 0;
}
