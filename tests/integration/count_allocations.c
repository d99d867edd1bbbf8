/* Preloaded into a process: counts what one thread of it asks the allocator and the kernel for memory.
 *
 * count_watch(tid) begins at zero, count_read(&calls) gives the calls of each kind since; count_where is where the
 * first came from. Python, OpenSSL and the core all call malloc through the dynamic linker, so nothing is missed. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { MALLOC, CALLOC, REALLOC, ALIGNED, FREE, MMAP, KINDS };

/* glibc's own names for what is counted here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static _Atomic pid_t watched;
static _Atomic uint64_t calls[KINDS];
static void *_Atomic where;
static __thread pid_t own_id __attribute__((tls_model("initial-exec")));

static void count(int kind, void *caller) {
    pid_t id = atomic_load(&watched);
    if (id == 0) return;
    if (own_id == 0) own_id = (pid_t)syscall(SYS_gettid);
    if (own_id != id) return;
    if (atomic_load(&where) == NULL) atomic_store(&where, caller);
    atomic_fetch_add(&calls[kind], 1);
}

void count_watch(pid_t id) {
    atomic_store(&watched, 0);
    for (int i = 0; i < KINDS; i++) atomic_store(&calls[i], 0);
    atomic_store(&where, NULL);
    atomic_store(&watched, id);
}

void *count_read(uint64_t *out) {
    for (int i = 0; i < KINDS; i++) out[i] = atomic_load(&calls[i]);
    return atomic_load(&where);
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size) {
    count(MALLOC, CALLER);
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    count(CALLOC, CALLER);
    return __libc_calloc(n, size);
}

void *realloc(void *block, size_t size) {
    count(REALLOC, CALLER);
    return __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(ALIGNED, CALLER);
    return __libc_memalign(alignment, size);
}

void free(void *block) {
    if (block != NULL) count(FREE, CALLER);
    __libc_free(block);
}

void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t offset) {
    count(MMAP, CALLER);
    return (void *)syscall(SYS_mmap, address, len, protection, flags, fd, offset);
}
