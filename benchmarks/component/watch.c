/* Looking up scripts in a table of N: the watch table, in several ways, and a sorted array.
 *
 *   watch CPU FOLDER BLOCKS N
 *
 * A figure is the time for one script, of types and with bytes as on the network. Whatever is looked up comes from a
 * pool so large that the lines of the table that it touches do not stay in the cache, if N is large. Both kinds of
 * table are in huge pages where the system gives them. */
#include <sys/mman.h>

#include "hft/cpu.h"
#include "hft/endian.h"
#include "hft/watch.h"
#include "turns.h"

#define POOL (1u << 20)
#define PROBES 4096 /* in a sample */
#define BLOCK 4     /* samples of one side before the next has its turn */
#define RECORD 36   /* of the sorted array: length, script, zeros */

typedef struct { uint8_t len, script[39]; } script;

static hft_watch watch;
static uint8_t *sorted;
static size_t n_scripts;
static script *missing, *watched, *chosen;
static size_t next_probe;
static volatile int64_t found;

static uint64_t mixed(uint64_t x) { /* splitmix64 */
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Script number i; those from N on are not watched. */
static void make(script *s, uint64_t i) {
    static const struct { uint8_t head_len, head[3], program_len, tail_len, tail[2]; } kinds[] = {
        {3, {0x76, 0xa9, 0x14}, 20, 2, {0x88, 0xac}}, {2, {0xa9, 0x14}, 20, 1, {0x87}}, {2, {0x00, 0x14}, 20, 0, {0}},
        {2, {0x00, 0x20}, 32, 0, {0}}, {2, {0x51, 0x20}, 32, 0, {0}}};
    size_t kind = mixed(i) % (sizeof kinds / sizeof *kinds), head_len = kinds[kind].head_len;
    memset(s, 0, sizeof *s);
    for (size_t k = 0; k < 4; k++) hft_store_le64(s->script + head_len + 8 * k, mixed(4 * i + k));
    memcpy(s->script, kinds[kind].head, head_len);
    size_t program_end = head_len + kinds[kind].program_len;
    memcpy(s->script + program_end, kinds[kind].tail, kinds[kind].tail_len);
    s->len = (uint8_t)(program_end + kinds[kind].tail_len);
    memset(s->script + s->len, 0, sizeof s->script - s->len);
}

static void *take(size_t size) {
    const size_t huge = (size_t)2 << 20;
    size = (size + huge - 1) / huge * huge;
    void *memory = aligned_alloc(huge, size);
    if (memory == NULL) die("no memory for %zu bytes", size);
    (void)!madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

static int compare(const void *a, const void *b) { return memcmp(a, b, RECORD); }

static void build(void) {
    uint64_t key[HFT_WATCH_KEY_WORDS];
    for (size_t i = 0; i < HFT_WATCH_KEY_WORDS; i++) key[i] = mixed(~i);
    if (hft_watch_init(&watch, take(hft_watch_size((uint32_t)n_scripts)), (uint32_t)n_scripts, key) < 0) die("init");
    sorted = take(n_scripts * RECORD);
    missing = take(POOL * sizeof *missing);
    watched = take(POOL * sizeof *watched);
    for (size_t i = 0; i < n_scripts; i++) {
        script s;
        make(&s, i);
        if (hft_watch_add(&watch, s.script, s.len, (uint32_t)(i % 100)) != 1) die("add");
        memcpy(sorted + i * RECORD, &s, RECORD);
    }
    qsort(sorted, n_scripts, RECORD, compare);
    for (size_t i = 0; i < POOL; i++) {
        make(&missing[i], n_scripts + i);
        make(&watched[i], mixed(i) % n_scripts);
    }
}

static script *probes(void) {
    script *first = &chosen[next_probe];
    next_probe = (next_probe + PROBES) % POOL;
    return first;
}

static void use_missing(void) { chosen = missing; }
static void use_watched(void) { chosen = watched; }

static void together(void) {
    const script *s = probes();
    int64_t sum = 0;
    for (size_t i = 0; i < PROBES; i += HFT_WATCH_BATCH) {
        const uint8_t *scripts[HFT_WATCH_BATCH];
        size_t lens[HFT_WATCH_BATCH];
        int64_t labels[HFT_WATCH_BATCH];
        uint32_t entries[HFT_WATCH_BATCH];
        for (size_t k = 0; k < HFT_WATCH_BATCH; k++) {
            scripts[k] = s[i + k].script;
            lens[k] = s[i + k].len;
        }
        hft_watch_find_many(&watch, labels, entries, scripts, lens, HFT_WATCH_BATCH);
        for (size_t k = 0; k < HFT_WATCH_BATCH; k++) sum += labels[k];
    }
    found = sum;
}

static void one_by_one(void) {
    const script *s = probes();
    int64_t sum = 0;
    for (size_t i = 0; i < PROBES; i++) sum += hft_watch_find(&watch, s[i].script, s[i].len, NULL);
    found = sum;
}

/* None begins before the one in front of it has its answer: what a single lookup takes. */
static void alone(void) {
    const script *s = probes();
    int64_t sum = 0;
    for (size_t i = 0; i < PROBES; i++) {
        sum += hft_watch_find(&watch, s[i].script, s[i].len, NULL);
#if defined(__x86_64__)
        _mm_lfence();
#endif
    }
    found = sum;
}

static void search_sorted(void) {
    const script *s = probes();
    int64_t sum = 0;
    for (size_t i = 0; i < PROBES; i++) sum += bsearch(&s[i], sorted, n_scripts, RECORD, compare) != NULL ? 0 : -1;
    found = sum;
}

/* Every way must give the answers that are right. */
static void check(const bench_side *sides, size_t n_sides) {
    for (size_t i = 0; i < n_sides; i++) {
        sides[i].prepare();
        sides[i].call();
        if (chosen == missing && found != -PROBES) die("%s finds what is not there", sides[i].name);
        if (chosen == watched && found < 0) die("%s does not find what is there", sides[i].name);
    }
}

int main(int argc, char **argv) {
    static const bench_side sides[] = {
        {"32 at a time", together, 1, PROBES, use_missing, NULL},
        {"sorted array, bsearch", search_sorted, 1, PROBES, use_missing, NULL},
        {"one after the other", one_by_one, 1, PROBES, use_missing, NULL},
        {"each alone", alone, 1, PROBES, use_missing, NULL},
        {"that are watched, 32 at a time", together, 1, PROBES, use_watched, NULL},
    };
    const size_t n_sides = sizeof sides / sizeof *sides;
    if (argc != 5) die("watch CPU FOLDER BLOCKS N");
    if (hft_init(NULL) < 0) die("hft_init");
    bench_pin(atoi(argv[1]));
    n_scripts = (size_t)atoll(argv[4]);
    build();
    check(sides, n_sides);
    bench_turns(argv[2], sides, n_sides, (size_t)atoll(argv[3]), BLOCK);
    return 0;
}
