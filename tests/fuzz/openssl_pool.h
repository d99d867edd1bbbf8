/* Memory for OpenSSL, which allocates and frees seven hundred times in a handshake: ASan's allocator takes longer for
 * that than the handshake itself. OpenSSL is not instrumented, so all that ASan can see there are calls of ours and of
 * libc; those it still sees, because what is free, and what is behind a block's end, is poisoned here. */
#ifndef HFT_FUZZ_OPENSSL_POOL_H
#define HFT_FUZZ_OPENSSL_POOL_H

#include <openssl/crypto.h>
#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define POOL_CHUNK ((size_t)1 << 20)
#if __has_attribute(no_sanitize_coverage)
#define POOL_UNTRACED __attribute__((no_sanitize("address"), no_sanitize_coverage))
#else
#define POOL_UNTRACED __attribute__((no_sanitize("address")))
#endif

typedef struct pool_block { struct pool_block *next; size_t len; } pool_block; /* in front of what it holds */

static struct { pool_block *first, *last; } pool_free[64]; /* by the binary logarithm of a block's size */
static size_t pool_live;                                   /* blocks in use */

static inline size_t pool_log2(size_t len) { return 64 - (size_t)__builtin_clzll(len + sizeof(pool_block) - 1); }

/* The block that has been free for longest, so that a use after it was freed has time to be seen; or a new one. */
POOL_UNTRACED static pool_block *pool_take(size_t log2) {
    static uint8_t *at, *end;
    pool_block *block = pool_free[log2].first;
    if (block != NULL) {
        pool_free[log2].first = block->next;
        return block;
    }
    size_t size = (size_t)1 << log2;
    if (at == NULL || (size_t)(end - at) < size) {
        size_t chunk = size > POOL_CHUNK ? size : POOL_CHUNK;
        at = malloc(chunk);
        if (at == NULL) abort();
        end = at + chunk;
        ASAN_POISON_MEMORY_REGION(at, chunk);
    }
    block = (pool_block *)(void *)at;
    at += size;
    return block;
}

POOL_UNTRACED static void *pool_alloc(size_t len, const char *file, int line) {
    (void)file, (void)line;
    if (len == 0) return NULL;
    pool_block *block = pool_take(pool_log2(len));
    block->len = len;
    pool_live++;
    ASAN_UNPOISON_MEMORY_REGION(block + 1, len);
    return block + 1;
}

POOL_UNTRACED static void pool_release(void *data, const char *file, int line) {
    (void)file, (void)line;
    if (data == NULL) return;
    pool_block *block = (pool_block *)data - 1;
    size_t log2 = pool_log2(block->len);
    if (__asan_address_is_poisoned(data)) abort(); /* freed twice */
    ASAN_POISON_MEMORY_REGION(data, block->len);
    block->next = NULL;
    if (pool_free[log2].first == NULL) pool_free[log2].first = block;
    else pool_free[log2].last->next = block;
    pool_free[log2].last = block;
    pool_live--;
}

POOL_UNTRACED static void *pool_realloc(void *data, size_t len, const char *file, int line) {
    void *moved = pool_alloc(len, file, line);
    size_t old = data != NULL ? ((pool_block *)data - 1)->len : 0;
    if (moved != NULL && old != 0) memcpy(moved, data, old < len ? old : len);
    pool_release(data, file, line);
    return moved;
}

/* Before OpenSSL is called for the first time. */
static void pool_use(void) {
    if (CRYPTO_set_mem_functions(pool_alloc, pool_realloc, pool_release) != 1) abort();
    uint8_t *data = OPENSSL_malloc(21);
    if (__asan_region_is_poisoned(data, 21) != NULL || !__asan_address_is_poisoned(data + 21)) abort();
    OPENSSL_free(data);
    if (!__asan_address_is_poisoned(data)) abort();
}

#endif
