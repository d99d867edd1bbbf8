/* The test harness of the C core. A test is one executable: checks that fail are printed and counted, the rest go on,
 * and `return check_done();` at the end of main makes the exit status. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int check_failures;

static inline void check_report(const char *file, int line, const char *what) {
    check_failures++;
    fprintf(stderr, "%s:%d: check failed: %s", file, line, what);
}

static inline void check_eq(const char *file, int line, const char *what, intmax_t actual, intmax_t expected) {
    if (actual != expected) {
        check_report(file, line, what);
        fprintf(stderr, ": %" PRIdMAX ", expected %" PRIdMAX "\n", actual, expected);
    }
}

static inline void check_bytes(const char *name, const uint8_t *data, size_t len, size_t from) {
    size_t end = from + 16 < len ? from + 16 : len;
    fprintf(stderr, "    %s[%zu..]:", name, from);
    for (size_t i = from; i < end; i++)
        fprintf(stderr, " %02x", data[i]);
    fprintf(stderr, "\n");
}

static inline void check_mem(const char *file, int line, const char *what, const void *actual, const void *expected,
                             size_t len) {
    const uint8_t *a = (const uint8_t *)actual, *e = (const uint8_t *)expected;
    for (size_t i = 0; i < len; i++) {
        if (a[i] != e[i]) {
            check_report(file, line, what);
            fprintf(stderr, ": differs at byte %zu of %zu\n", i, len);
            check_bytes("actual", a, len, i);
            check_bytes("expected", e, len, i);
            return;
        }
    }
}

static inline int check_done(void) {
    if (check_failures != 0)
        fprintf(stderr, "%d check(s) failed\n", check_failures);
    return check_failures != 0;
}

/* Any condition. */
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            check_report(__FILE__, __LINE__, #cond);                                                                   \
            fputc('\n', stderr);                                                                                       \
        }                                                                                                              \
    } while (0)

/* Two integers, of any type up to 64 bits. */
#define CHECK_EQ(actual, expected)                                                                                     \
    check_eq(__FILE__, __LINE__, #actual " == " #expected, (intmax_t)(actual), (intmax_t)(expected))

/* `len` bytes at two addresses. */
#define CHECK_MEM(actual, expected, len) check_mem(__FILE__, __LINE__, #actual " == " #expected, actual, expected, len)

/* NUL-terminated strings. */
#define CHECK_STR(actual, expected)                                                                                    \
    do {                                                                                                               \
        const char *check_a = (actual), *check_e = (expected);                                                         \
        if (strcmp(check_a, check_e) != 0) {                                                                           \
            check_report(__FILE__, __LINE__, #actual " == " #expected);                                                \
            fprintf(stderr, ": \"%s\", expected \"%s\"\n", check_a, check_e);                                          \
        }                                                                                                              \
    } while (0)

#endif
