/* Latencies of hashing, signing and encrypting beside OpenSSL and libipsec-mb.
 *
 *   latency CPU FOLDER BLOCKS ROW
 *
 * Calls are chained through their data (each input holds the output before), so a figure is latency, as on the hot
 * path, and not throughput. ROW: one of `rows`; prints nothing if the machine has no code of ours for it. */
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "hft/aesgcm.h"
#include "hft/cpu.h"
#include "hft/hmac.h"
#include "openssl.h"
#include "turns.h"
#ifdef HAVE_IPSEC_MB
#include "ipsec_mb.h"
#endif

#define CHAIN 16
#define BLOCK 256 /* samples of one side before the next has its turn */

#define MESSAGE 150
#define CONSTANT 128 /* bytes of a text that never change */
#define TAIL (MESSAGE - CONSTANT)
#define ORDER 250  /* bytes that an order signs */
#define RECORD 470 /* bytes of an order in a TLS record */

static uint8_t message[ORDER], digest[64];
static hft_hmac_key key;
static hft_hmac_prefix prefix;
static uint8_t record[RECORD], header[5], nonce[HFT_AESGCM_NONCE_LEN];
static hft_aesgcm aesgcm;
static EVP_CIPHER_CTX *aead;

/* Each takes what `digest` holds into account and leaves its result there: at the text's beginning, or, where that is
 * constant, behind it. */
static uint8_t *at_start(void) { return memcpy(message, digest, 32); }
static uint8_t *behind(size_t len) { return (uint8_t *)memcpy(message + CONSTANT, digest, len) - CONSTANT; }

static void sha256_ours(void) { hft_sha256_digest(digest, at_start(), 64); }
static void sha256_evp(void) { openssl_sha256_evp(digest, at_start(), 64); }

static void hmac_ours(void) { hft_hmac_digest(digest, &key, at_start(), MESSAGE); }
static void hmac_evp(void) { openssl_hmac_evp(digest, at_start(), MESSAGE); }
static void hmac_oneshot(void) { openssl_hmac_oneshot(digest, at_start(), MESSAGE); }
static void hmac_transform(void) { openssl_hmac_transform(digest, at_start(), MESSAGE); }
static void hmac_copied(void) { openssl_hmac_copied(digest, at_start(), MESSAGE); }
#ifdef HAVE_IPSEC_MB
static void hmac_ipsec_mb(void) { ipsec_mb_hmac(digest, at_start(), MESSAGE); }
#endif

static void midstate_ours(void) { hft_hmac_digest_tail(digest, &key, &prefix, behind(TAIL) + CONSTANT, TAIL); }
static void midstate_evp(void) { openssl_hmac_evp(digest, behind(TAIL), MESSAGE); }
static void midstate_dup(void) { openssl_hmac_dup_tail(digest, behind(TAIL) + CONSTANT, TAIL); }
static void midstate_transform(void) { openssl_hmac_transform_tail(digest, behind(TAIL) + CONSTANT, TAIL); }

static void order_ours(void) { hft_hmac_digest_tail(digest, &key, &prefix, behind(32) + CONSTANT, ORDER - CONSTANT); }
static void order_evp(void) { openssl_hmac_evp(digest, behind(32), ORDER); }

/* A record encrypted in place; the digest goes in as the first 32 bytes, the tag is the result. */
static void aesgcm_ours(void) {
    memcpy(record, digest, 32);
    hft_aesgcm_seal(&aesgcm, record, digest, nonce, header, sizeof header, record, RECORD);
}
static void aesgcm_evp(void) {
    int n;
    memcpy(record, digest, 32);
    OSSL_PARAM tag[] = {OSSL_PARAM_construct_octet_string("tag", digest, HFT_AESGCM_TAG_LEN), OSSL_PARAM_END};
    if (!EVP_EncryptInit_ex2(aead, NULL, NULL, nonce, NULL) ||
        !EVP_EncryptUpdate(aead, NULL, &n, header, sizeof header) ||
        !EVP_EncryptUpdate(aead, record, &n, record, RECORD) || !EVP_EncryptFinal_ex(aead, digest, &n) ||
        !EVP_CIPHER_CTX_get_params(aead, tag))
        die("EVP_Encrypt");
}

#define SIDE(name, call) {name, call, CHAIN, 1, NULL, NULL}

static const struct { const char *name; bench_side sides[8]; } rows[] = {
    {"sha256_64_latency", {SIDE("libhft", sha256_ours), SIDE("OpenSSL EVP_MD_CTX reused", sha256_evp)}},
    {"hmac_150_latency",
     {SIDE("libhft", hmac_ours), SIDE("OpenSSL EVP_MAC_CTX reused", hmac_evp),
      SIDE("OpenSSL SHA256_Transform, saved pads", hmac_transform),
      SIDE("OpenSSL SHA256_CTX copied, Update, Final", hmac_copied), SIDE("OpenSSL HMAC()", hmac_oneshot),
#ifdef HAVE_IPSEC_MB
      SIDE("libipsec-mb, one job", hmac_ipsec_mb)
#endif
     }},
    {"hmac_150_midstate_latency",
     {SIDE("libhft, 128 B absorbed", midstate_ours), SIDE("OpenSSL EVP_MAC_CTX reused, all 150 B", midstate_evp),
      SIDE("OpenSSL SHA256_Transform, 128 B absorbed", midstate_transform),
      SIDE("OpenSSL EVP_MAC_CTX_dup, 128 B absorbed", midstate_dup)}},
    {"hmac_order_250_latency",
     {SIDE("libhft, 128 B absorbed", order_ours), SIDE("OpenSSL EVP_MAC_CTX reused, all 250 B", order_evp)}},
    {"aesgcm_seal_470_latency", {SIDE("libhft", aesgcm_ours), SIDE("OpenSSL EVP_CIPHER_CTX reused", aesgcm_evp)}},
};

/* All must say the same: from the same start, after the same number of calls. */
static void compare(const bench_side *sides, size_t n_sides) {
    uint8_t first[32];
    for (size_t i = 0; i < n_sides; i++) {
        memset(digest, 7, sizeof digest);
        memset(record, 0, sizeof record);
        for (int call = 0; call < CHAIN; call++) sides[i].call();
        if (i == 0) memcpy(first, digest, sizeof first);
        if (memcmp(first, digest, sizeof first) != 0) die("%s and %s differ", sides[0].name, sides[i].name);
    }
}

static void open_all(void) {
    static const uint8_t secret[64] = "the secret of an exchange's API key is 64 characters long, say.";
    if (hft_init(NULL) < 0) die("the core fails its self-test");
    if (RAND_bytes(message, sizeof message) != 1) die("RAND_bytes");
    hft_hmac_key_init(&key, secret, sizeof secret);
    hft_hmac_prefix_init(&prefix, &key, message, CONSTANT);
    if (hft_aesgcm_available() && hft_aesgcm_init(&aesgcm, secret, 16) < 0) die("hft_aesgcm_init");
    openssl_open(secret, sizeof secret);
    openssl_prefix_init(message, CONSTANT);
    aead = EVP_CIPHER_CTX_new();
    if (!EVP_EncryptInit_ex2(aead, EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL), secret, nonce, NULL)) die("OpenSSL");
#ifdef HAVE_IPSEC_MB
    ipsec_mb_open(secret, sizeof secret);
#endif
}

int main(int argc, char **argv) {
    if (argc != 5) die("latency CPU FOLDER BLOCKS ROW");
    bench_pin(atoi(argv[1]));
    open_all();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n_sides = 0;
        if (strcmp(rows[i].name, argv[4]) != 0) continue;
        if (rows[i].sides[0].call == aesgcm_ours && !hft_aesgcm_available()) return 0;
        while (rows[i].sides[n_sides].name != NULL) n_sides++;
        compare(rows[i].sides, n_sides);
        bench_turns(argv[2], rows[i].sides, n_sides, (size_t)atoll(argv[3]), BLOCK);
        return 0;
    }
    die("no row %s", argv[4]);
}
