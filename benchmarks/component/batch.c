/* Double SHA-256 of block headers, 80 bytes each, in batches of N: ours with each kernel, OpenSSL, libipsec-mb.
 *
 *   batch CPU FOLDER BLOCKS N
 *
 * A figure is the time for one header of the batch: throughput. Ours is named by its level (see hft/cpu.h). */
#include <openssl/rand.h>

#include "hft/cpu.h"
#include "hft/sha256.h"
#include "openssl.h"
#include "turns.h"
#ifdef HAVE_IPSEC_MB
#include "ipsec_mb.h"
#endif

#define HEADER 80
#define N_MAX 1024
#define BLOCK 8 /* samples of one side before the next has its turn */
#define SAMPLE_NS 20000 /* at least */

static uint8_t headers[HEADER * N_MAX], digests[32 * N_MAX];
static size_t n;

static void use(const char *level) {
    if (hft_init(level) < 0) die("%s: failed", level);
}
static void use_avx512(void) { use("avx512"); }
static void use_avx2(void) { use("avx2"); }
static void use_shani(void) { use("shani"); }
static void use_portable(void) { use("portable"); }

static void ours(void) { hft_sha256d_items(digests, headers, HEADER, n); }
static void openssl_each(void (*hash)(uint8_t out[32], const void *data, size_t len)) {
    for (size_t i = 0; i < n; i++) hash(digests + 32 * i, headers + HEADER * i, HEADER);
}
static void oneshot(void) { openssl_each(openssl_sha256d_oneshot); }
static void lowlevel(void) { openssl_each(openssl_sha256d_lowlevel); }
#ifdef HAVE_IPSEC_MB
static void ipsec_mb(void) { ipsec_mb_sha256d_many(digests, headers, HEADER, n); }
#endif

static const bench_side all[] = {
    {"avx512", ours, 0, 0, use_avx512, NULL},
    {"avx2", ours, 0, 0, use_avx2, NULL},
    {"shani", ours, 0, 0, use_shani, NULL},
    {"portable", ours, 0, 0, use_portable, NULL},
    {"OpenSSL SHA256_Init, Update, Final, twice", lowlevel, 0, 0, NULL, NULL},
    {"OpenSSL EVP_Digest, twice", oneshot, 0, 0, NULL, NULL},
#ifdef HAVE_IPSEC_MB
    {"libipsec-mb, all jobs submitted", ipsec_mb, 0, 0, NULL, NULL},
#endif
};

static void compare(const bench_side *sides, size_t n_sides) {
    static uint8_t first[sizeof digests];
    for (size_t i = 0; i < n_sides; i++) {
        memset(digests, 0, sizeof digests);
        if (sides[i].prepare != NULL) sides[i].prepare();
        sides[i].call();
        if (i == 0) memcpy(first, digests, sizeof first);
        if (memcmp(first, digests, sizeof first) != 0) die("%s and %s differ", sides[0].name, sides[i].name);
    }
}

/* What takes longer meets more noise, so samples of all sides are to last the same: as long as the slowest's call. */
static void even_out(bench_side *sides, size_t n_sides) {
    uint64_t took_ns[BENCH_SIDES_MAX], slowest_ns = SAMPLE_NS;
    for (size_t i = 0; i < n_sides; i++) {
        took_ns[i] = UINT64_MAX;
        if (sides[i].prepare != NULL) sides[i].prepare();
        for (int call = 0; call < 20; call++) {
            uint64_t before_ns = hft_clock_mono_ns();
            sides[i].call();
            uint64_t ns = hft_clock_mono_ns() - before_ns;
            if (ns < took_ns[i]) took_ns[i] = ns;
        }
        if (took_ns[i] > slowest_ns) slowest_ns = took_ns[i];
    }
    for (size_t i = 0; i < n_sides; i++) sides[i].calls = (unsigned)((slowest_ns + took_ns[i] / 2) / took_ns[i]);
}

int main(int argc, char **argv) {
    static const uint8_t secret[1];
    bench_side sides[BENCH_SIDES_MAX];
    size_t n_sides = 0;
    if (argc != 5) die("batch CPU FOLDER BLOCKS N");
    n = (size_t)atoll(argv[4]);
    if (n == 0 || n > N_MAX) die("1 to %d headers", N_MAX);
    bench_pin(atoi(argv[1]));
    if (RAND_bytes(headers, sizeof headers) != 1) die("RAND_bytes");
    openssl_open(secret, sizeof secret);
#ifdef HAVE_IPSEC_MB
    ipsec_mb_open(secret, sizeof secret);
#endif
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].prepare != NULL && hft_init(all[i].name) < 0) continue; /* the machine lacks this level */
        sides[n_sides] = all[i];
        sides[n_sides++].items = (unsigned)n;
    }
    compare(sides, n_sides);
    even_out(sides, n_sides);
    bench_turns(argv[2], sides, n_sides, (size_t)atoll(argv[3]), BLOCK);
    return 0;
}
