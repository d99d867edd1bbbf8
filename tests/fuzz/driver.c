/* Runs a fuzz target: a main() for LLVMFuzzerTestOneInput where there is no libFuzzer.
 *
 *   fuzz_x FILE|DIR...                         each file once, to reproduce a failure
 *   fuzz_x --iterations N FILE|DIR...          mutates them N times; the same N and seeds give the same inputs
 *     --seconds S     stops after S seconds, whichever comes first
 *     --seed S        other mutations
 *     --save DIR      writes each input that reached new code there
 *     --crash FILE    where a failing input goes
 *     --progress 1    says each second how far it is
 *
 * The target and the core are compiled with -fsanitize-coverage=trace-pc: an input that reaches new code joins the
 * corpus. This file is compiled without any instrumentation. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MAX_LEN ((size_t)1 << 16)
#define MAX_INPUTS ((size_t)1 << 14)
#define MAP_SIZE ((size_t)1 << 16)
#define INPUT_TIMEOUT_S 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_cov_trace_pc(void);
extern const char __executable_start[];

typedef struct {
    uint8_t *data;
    size_t len;
} input;

static input corpus[MAX_INPUTS];
static size_t corpus_len;
static uint8_t map[MAP_SIZE], seen[MAP_SIZE];
static uintptr_t previous;
static uint64_t state = 1;
static uint8_t current[MAX_LEN];
static size_t current_len;
static const char *crash_path, *save_dir;
static int progress;

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    exit(2);
}

/* Called at every edge of the instrumented code. Addresses are taken relative to the program, which moves. */
void __sanitizer_cov_trace_pc(void) {
    uintptr_t here = (uintptr_t)__builtin_return_address(0) - (uintptr_t)__executable_start;
    uint8_t *count = &map[((here * UINT64_C(0x9e3779b97f4a7c15)) >> 48 ^ previous) % MAP_SIZE];
    if (*count < 255) (*count)++;
    previous = ((here * UINT64_C(0x9e3779b97f4a7c15)) >> 48) >> 1;
}

static uint64_t random_u64(void) { /* splitmix64 */
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t below(size_t limit) { return limit == 0 ? 0 : (size_t)(random_u64() % limit); }

/* Small more often than large. */
static size_t small_below(size_t limit) { return below(1 + below(limit)); }

static void write_file(const char *path, const uint8_t *data, size_t len) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, len, file) != len || fclose(file) != 0)
        fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
}

static void on_death(void) {
    if (crash_path != NULL) write_file(crash_path, current, current_len);
    fprintf(stderr, "failing input, %zu bytes:\n", current_len);
    for (size_t i = 0; i < current_len && i < 256; i++) fprintf(stderr, "%02x", current[i]);
    fprintf(stderr, "%s\n", current_len > 256 ? "..." : "");
}

/* Counts the process's own time: a machine that is busy with something else is no reason to fail. */
static void restart_alarm(void) {
    const struct itimerval timeout = {.it_value.tv_sec = INPUT_TIMEOUT_S};
    setitimer(ITIMER_PROF, &timeout, NULL);
}

static void on_alarm(int signal_number) {
    (void)signal_number;
    static const char text[] = "one input ran for more than ten seconds\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

/* Runs current[]. The target gets a copy of exactly that size, so that ASan sees a read past its end. */
static void run_current(void) {
    uint8_t *copy = malloc(current_len != 0 ? current_len : 1);
    if (copy == NULL) die("out of memory\n");
    memcpy(copy, current, current_len);
    memset(map, 0, sizeof map);
    previous = 0;
    (void)LLVMFuzzerTestOneInput(copy, current_len);
    free(copy);
}

/* Marks what the last run reached; 1 if any of it was new. How often an edge ran counts in powers of two. */
static int reached_new(void) {
    int found = 0;
    for (size_t i = 0; i < MAP_SIZE; i += 8) {
        uint64_t word;
        memcpy(&word, map + i, 8);
        for (size_t j = i; word != 0 && j < i + 8; j++) {
            if (map[j] == 0) continue;
            uint8_t bucket = (uint8_t)(1u << (31 - __builtin_clz(map[j])));
            if ((seen[j] & bucket) == 0) {
                seen[j] |= bucket;
                found = 1;
            }
        }
    }
    return found;
}

static void keep_current(void) {
    if (corpus_len == MAX_INPUTS) return;
    uint8_t *data = malloc(current_len != 0 ? current_len : 1);
    if (data == NULL) die("out of memory\n");
    memcpy(data, current, current_len);
    corpus[corpus_len++] = (input){data, current_len};
}

static void save_current(void) {
    uint64_t name = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < current_len; i++) name = (name ^ current[i]) * UINT64_C(0x100000001b3);
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%016" PRIx64, save_dir, name) < (int)sizeof path)
        write_file(path, current, current_len);
}

static void replace(size_t pos, size_t old_len, const uint8_t *data, size_t len) {
    if (current_len - old_len + len > MAX_LEN) return;
    memmove(current + pos + len, current + pos + old_len, current_len - pos - old_len);
    memcpy(current + pos, data, len);
    current_len += len - old_len;
}

static void put_integer(void) {
    static const uint64_t interesting[] = {
        0, 1, 0x7f, 0x80, 0xfc, 0xfd, 0xfe, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
        UINT64_C(0x100000000), UINT64_C(0x7fffffffffffffff), UINT64_C(0x8000000000000000), UINT64_MAX,
    };
    size_t width = (size_t)1 << below(4), pos = below(current_len);
    if (pos + width > current_len) return;
    uint64_t value = interesting[below(sizeof interesting / sizeof interesting[0])] + below(3) - 1;
    int big = (int)below(2);
    for (size_t i = 0; i < width; i++) current[pos + (big ? width - 1 - i : i)] = (uint8_t)(value >> (8 * i));
}

static void mutate_once(void) {
    static const char letters[] = "0123456789{}[]\":,.-+eE\\/ \t\r\n\0xu=;";
    uint8_t chunk[256];
    size_t pos = below(current_len), left = current_len - pos, len = small_below(left < 256 ? left + 1 : 256);
    const input *other = &corpus[below(corpus_len)];
    switch (below(11)) {
    case 0:
        if (left != 0) current[pos] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        if (left != 0) current[pos] = (uint8_t)random_u64();
        break;
    case 2:
        if (left != 0) current[pos] = (uint8_t)letters[below(sizeof letters - 1)];
        break;
    case 3:
        if (left != 0) current[pos] = (uint8_t)(current[pos] + below(33) - 16);
        break;
    case 4: put_integer(); break;
    case 5: current_len = pos; break;
    case 6: replace(pos, len, chunk, 0); break;
    case 7: /* repeat a part */
        memcpy(chunk, current + pos, len);
        replace(below(current_len + 1), 0, chunk, len);
        break;
    case 8: /* copy a part over another */
        memcpy(chunk, current + pos, len);
        memcpy(current + below(current_len - len + 1), chunk, len);
        break;
    case 9: /* insert noise */
        len = small_below(16);
        for (size_t i = 0; i < len; i++) chunk[i] = (uint8_t)random_u64();
        replace(pos, 0, chunk, len);
        break;
    default: { /* go on with the tail of another input */
        size_t from = below(other->len + 1);
        replace(pos, left, other->data + from, other->len - from);
    }
    }
}

static void read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) die("cannot read %s: %s\n", path, strerror(errno));
    current_len = fread(current, 1, MAX_LEN, file);
    fclose(file);
    run_current();
    (void)reached_new();
    keep_current();
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void read_path(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) die("cannot read %s: %s\n", path, strerror(errno));
    if (!S_ISDIR(info.st_mode)) {
        read_file(path);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char child[4096];
        if (entries[i]->d_name[0] != '.' &&
            snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name) < (int)sizeof child)
            read_path(child);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void report(size_t seeds, uint64_t done, uint64_t start) {
    double seconds = (double)(now_ns() - start) / 1e9;
    printf("%zu seeds, %" PRIu64 " mutations in %.1f s, %zu inputs kept\n", seeds, done, seconds, corpus_len - seeds);
    fflush(stdout);
}

static void fuzz(uint64_t iterations, uint64_t timeout_ns) {
    uint64_t start = now_ns(), told = start, done = 0;
    size_t seeds = corpus_len;
    if (seeds == 0) keep_current(); /* the empty input */
    for (; done < iterations; done++) {
        if (done % 256 == 0) {
            uint64_t now = now_ns();
            if (timeout_ns != 0 && now - start > timeout_ns) break;
            if (progress && now - told > 1000000000u) {
                told = now;
                report(seeds, done, start);
            }
            restart_alarm();
        }
        const input *parent = &corpus[corpus_len - 1 - (done % 2 != 0 ? small_below(corpus_len) : below(corpus_len))];
        memcpy(current, parent->data, parent->len);
        current_len = parent->len;
        for (size_t i = 1 + small_below(8); i != 0; i--) mutate_once();
        run_current();
        if (!reached_new()) continue;
        keep_current();
        if (save_dir != NULL) save_current();
    }
    report(seeds, done, start);
}

int main(int argc, char **argv) {
    uint64_t iterations = 0, timeout_ns = 0;
    __sanitizer_set_death_callback(on_death);
    signal(SIGPROF, on_alarm);
    restart_alarm();
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            read_path(argv[i]);
            continue;
        }
        if (i + 1 == argc) die("%s needs a value\n", argv[i]);
        const char *name = argv[i++];
        if (strcmp(name, "--iterations") == 0) iterations = strtoull(argv[i], NULL, 10);
        else if (strcmp(name, "--seconds") == 0) timeout_ns = strtoull(argv[i], NULL, 10) * 1000000000u;
        else if (strcmp(name, "--seed") == 0) state = strtoull(argv[i], NULL, 10);
        else if (strcmp(name, "--save") == 0) save_dir = argv[i];
        else if (strcmp(name, "--crash") == 0) crash_path = argv[i];
        else if (strcmp(name, "--progress") == 0) progress = atoi(argv[i]);
        else die("unknown option %s\n", name);
    }
    fuzz(iterations == 0 && timeout_ns != 0 ? UINT64_MAX : iterations, timeout_ns);
    for (size_t i = 0; i < corpus_len; i++) free(corpus[i].data);
    return 0;
}
