/* AES-GCM against test cases of McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, those with
 * nonces of 96 bits, for each level that the machine has. */
#include "../../hftcore/libhft/src/aesgcm_kernels.h"
#include "check.h"
#include "hft/cpu.h"
#include "hft/text.h"

#define KEY_0 "00000000000000000000000000000000"
#define NONCE_0 "000000000000000000000000"
#define KEY "feffe9928665731c6d6a8f9467308308"
#define NONCE "cafebabefacedbaddecaf888"
#define AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define TEXT_60                                                                                                        \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                                                 \
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define CIPHER_128                                                                                                     \
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"                                                 \
    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
#define CIPHER_256                                                                                                     \
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"                                                 \
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

static const struct { int number; const char *key, *nonce, *aad, *text, *cipher, *tag; } cases[] = {
    {1, KEY_0, NONCE_0, "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
    {2, KEY_0, NONCE_0, "", KEY_0, "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"},
    {3, KEY, NONCE, "", TEXT_60 "1aafd255", CIPHER_128 "473f5985", "4d5c2af327cd64a62cf35abd2ba6fab4"},
    {4, KEY, NONCE, AAD, TEXT_60, CIPHER_128, "5bc94fbc3221a5db94fae95ae7121a47"},
    {13, KEY_0 KEY_0, NONCE_0, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {14, KEY_0 KEY_0, NONCE_0, "", KEY_0, "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {15, KEY KEY, NONCE, "", TEXT_60 "1aafd255", CIPHER_256 "898015ad", "b094dac5d93471bdec1a502270e3cc6c"},
    {16, KEY KEY, NONCE, AAD, TEXT_60, CIPHER_256, "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static size_t decode(uint8_t out[64], const char *hex) {
    size_t len = strlen(hex);
    CHECK_EQ(hft_hex_decode(out, hex, len), (intmax_t)(len / 2));
    return len / 2;
}

static void test_cases(void) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t key[64], nonce[64], aad[64], text[64], cipher[64], tag[64], out[64], out_tag[HFT_AESGCM_TAG_LEN];
        hft_aesgcm g;
        size_t key_len = decode(key, cases[i].key), aad_len = decode(aad, cases[i].aad);
        size_t len = decode(text, cases[i].text);
        CHECK_EQ(decode(nonce, cases[i].nonce), HFT_AESGCM_NONCE_LEN);
        CHECK_EQ(decode(cipher, cases[i].cipher), len);
        CHECK_EQ(decode(tag, cases[i].tag), HFT_AESGCM_TAG_LEN);
        CHECK_EQ(hft_aesgcm_init(&g, key, key_len), 0);
        hft_aesgcm_seal(&g, out, out_tag, nonce, aad, aad_len, text, len);
        int failures = check_failures;
        CHECK_MEM(out, cipher, len);
        CHECK_MEM(out_tag, tag, sizeof out_tag);
        if (check_failures != failures) fprintf(stderr, "that was test case %d\n", cases[i].number);
    }
}

static void test_unavailable(void) {
    hft_aesgcm g;
    uint8_t key[32] = {0};
    CHECK_EQ(hft_aesgcm_available(), 0);
    CHECK_EQ(hft_aesgcm_init(&g, key, 16), HFT_E_STATE);
}

#if defined(__x86_64__)
/* Kernels with one error each: in short texts, and in what only long ones or keys show. */
static void init_shorter(hft_aesgcm *g, const uint8_t *key, size_t key_len) {
    hft_aesgcm_aesni.init(g, key, key_len);
    if (key_len == 32) g->rounds = 10;
}
static void seal_wrong_tag(const hft_aesgcm *g, uint8_t *out, uint8_t tag[HFT_AESGCM_TAG_LEN],
                           const uint8_t nonce[HFT_AESGCM_NONCE_LEN], const uint8_t *aad, size_t aad_len,
                           const uint8_t *data, size_t len) {
    hft_aesgcm_aesni.seal(g, out, tag, nonce, aad, aad_len, data, len);
    if (len < 512) tag[15] ^= 1;
}
static void seal_wrong_long_tag(const hft_aesgcm *g, uint8_t *out, uint8_t tag[HFT_AESGCM_TAG_LEN],
                                const uint8_t nonce[HFT_AESGCM_NONCE_LEN], const uint8_t *aad, size_t aad_len,
                                const uint8_t *data, size_t len) {
    hft_aesgcm_aesni.seal(g, out, tag, nonce, aad, aad_len, data, len);
    if (len > 1024) tag[0] ^= 1;
}
static void seal_wrong_long_text(const hft_aesgcm *g, uint8_t *out, uint8_t tag[HFT_AESGCM_TAG_LEN],
                                 const uint8_t nonce[HFT_AESGCM_NONCE_LEN], const uint8_t *aad, size_t aad_len,
                                 const uint8_t *data, size_t len) {
    hft_aesgcm_aesni.seal(g, out, tag, nonce, aad, aad_len, data, len);
    if (len > 1024 && out != data) out[1024] ^= 1;
}

/* The best kernel for no level, and the one of 128 bits for "shani". */
static void test_choice(void) {
    int has_vaes = (hft_cpu_features() & HFT_CPU_VAES) != 0;
    uint8_t key[16] = {0};
    hft_aesgcm g;
    CHECK_EQ(hft_init(NULL), 0);
    CHECK_EQ(hft_aesgcm_init(&g, key, sizeof key), 0);
    CHECK(g.kernel == (has_vaes ? &hft_aesgcm_vaes : &hft_aesgcm_aesni));
    if (hft_init("shani") != 0) return; /* the machine has no SHA-NI */
    CHECK_EQ(hft_aesgcm_init(&g, key, sizeof key), 0);
    CHECK(g.kernel == &hft_aesgcm_aesni);
}

static void test_self_test(void) {
    const hft_aesgcm_kernel wrong[] = {{hft_aesgcm_aesni.init, seal_wrong_tag},
                                       {hft_aesgcm_aesni.init, seal_wrong_long_tag},
                                       {hft_aesgcm_aesni.init, seal_wrong_long_text},
                                       {init_shorter, hft_aesgcm_aesni.seal}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_EQ(hft_init(NULL), 0);
        CHECK_EQ(hft_aesgcm_select(&wrong[i]), HFT_E_SELF_TEST);
        test_unavailable();
    }
}
#else
static void test_choice(void) {}
static void test_self_test(void) {}
#endif

int main(void) {
    hft_aesgcm g;
    uint8_t key[33] = {0};
    int present = (hft_cpu_features() & HFT_CPU_AESNI) != 0;
    test_unavailable(); /* before hft_init() */
    CHECK_EQ(hft_init(NULL), 0);
    CHECK_EQ(hft_aesgcm_available(), present);
    for (size_t len = 0; len <= sizeof key; len++)
        if (len != 16 && len != 32) CHECK_EQ(hft_aesgcm_init(&g, key, len), HFT_E_ARGUMENT);
    if (present) {
        test_cases();
        if (hft_init("shani") == 0) test_cases();
        test_choice();
        test_self_test();
        CHECK_EQ(hft_init(NULL), 0);
    }
    CHECK_EQ(hft_init("portable"), 0);
    test_unavailable();
    return check_done();
}
