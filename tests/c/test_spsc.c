/* The queue: full and empty, wrapping, and every record whole and in order between two threads. */
#include "check.h"

#include <pthread.h>
#include <sched.h>

#include <hft/spsc.h>

#define CAP 64
#define RECORDS 400000

typedef struct { uint64_t words[5]; } record;

static record memory[CAP];
static hft_spsc queue;

static void test_one_thread(void) {
    CHECK_EQ(hft_spsc_init(&queue, memory, CAP, sizeof(record)), HFT_OK);
    CHECK(hft_spsc_peek(&queue) == NULL);
    uint64_t written = 0, read = 0;
    for (int round = 0; round < 200; round++) {
        size_t put = (size_t)(round * 37 % (CAP + 1)), take = (size_t)(round * 23 % (CAP + 1));
        CHECK_EQ(hft_spsc_free(&queue), CAP - (written - read));
        for (; put != 0 && written - read < CAP; put--) {
            record *r = hft_spsc_reserve(&queue);
            CHECK(r == &memory[written % CAP]);
            CHECK(hft_spsc_reserve(&queue) == r); /* reserving again changes nothing */
            r->words[0] = written++;
            hft_spsc_publish(&queue);
        }
        if (written - read == CAP) CHECK(hft_spsc_reserve(&queue) == NULL);
        for (; take != 0 && read != written; take--) {
            const record *r = hft_spsc_peek(&queue);
            CHECK(r != NULL && r == hft_spsc_peek(&queue));
            CHECK_EQ(r->words[0], read++);
            hft_spsc_release(&queue);
        }
        if (written == read) CHECK(hft_spsc_peek(&queue) == NULL);
    }
}

static void *produce(void *unused) {
    (void)unused;
    for (uint64_t i = 0; i < RECORDS; i++) {
        record *r;
        while ((r = hft_spsc_reserve(&queue)) == NULL) sched_yield();
        for (uint64_t j = 0; j < 5; j++) r->words[j] = i * 5 + j;
        hft_spsc_publish(&queue);
    }
    return NULL;
}

static void test_two_threads(void) {
    pthread_t producer;
    CHECK_EQ(hft_spsc_init(&queue, memory, CAP, sizeof(record)), HFT_OK);
    CHECK_EQ(pthread_create(&producer, NULL, produce, NULL), 0);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < RECORDS; i++) {
        const record *r;
        while ((r = hft_spsc_peek(&queue)) == NULL) sched_yield();
        for (uint64_t j = 0; j < 5; j++) wrong += r->words[j] != i * 5 + j;
        hft_spsc_release(&queue);
    }
    CHECK_EQ(wrong, 0);
    CHECK(hft_spsc_peek(&queue) == NULL);
    CHECK_EQ(pthread_join(producer, NULL), 0);
}

static void test_arguments(void) {
    CHECK_EQ(hft_spsc_init(&queue, NULL, CAP, 8), HFT_E_ARGUMENT);
    CHECK_EQ(hft_spsc_init(&queue, memory, CAP, 0), HFT_E_ARGUMENT);
    CHECK_EQ(hft_spsc_init(&queue, memory, 0, 8), HFT_E_ARGUMENT);
    CHECK_EQ(hft_spsc_init(&queue, memory, 1, 8), HFT_E_ARGUMENT);
    CHECK_EQ(hft_spsc_init(&queue, memory, 48, 8), HFT_E_ARGUMENT);
    CHECK_EQ(hft_spsc_init(&queue, memory, (size_t)1 << 25, 8), HFT_E_ARGUMENT);
    CHECK_EQ(hft_spsc_init(&queue, memory, 2, 8), HFT_OK);
}

int main(void) {
    test_one_thread();
    test_two_threads();
    test_arguments();
    return check_done();
}
