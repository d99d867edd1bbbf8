/* Many messages at once: which kernel has them, and what keeps its lanes busy.
 *
 * Messages that take equally many blocks are hashed side by side from the first to the last. Others share the lanes:
 * one whose message ends takes the next, and when none is left the last lane moves into the gap, so that the busy ones
 * are always the first, and narrower kernels go on with them. */
#include <stdalign.h>

#include "hft/status.h"
#include "sha256_kernels.h"

enum { LANES = HFT_SHA256_LANES };

static const uint8_t nothing[64]; /* for lanes that have no byte to read */

static size_t blocks_of(size_t len) { return len / 64 + (len % 64 + 8) / 64 + 1; }

/* ---- messages that take equally many blocks ---- */

typedef struct {
    alignas(64) hft_sha256_lanes state;
    alignas(64) int64_t left[LANES]; /* bytes of the message from data on */
    alignas(64) uint64_t bits[LANES];
    const uint8_t *data[LANES]; /* where the next block begins */
} group;

/* What must be read next of a message's `left` bytes. */
static const uint8_t *readable(const uint8_t *data, int64_t left) { return left > 0 ? data : nothing; }

static void set_lane(group *g, size_t lane, const hft_sha256_ends *ends, const void *data, size_t len) {
    g->left[lane] = (int64_t)len;
    g->bits[lane] = (ends->hashed + len) * 8;
    g->data[lane] = readable(data, (int64_t)len);
}

/* The lanes from `used` on do what lane 0 does. */
static void fill_up(group *g, size_t used, size_t width) {
    for (size_t i = used; i < width; i++) {
        g->left[i] = g->left[0];
        g->bits[i] = g->bits[0];
        g->data[i] = g->data[0];
    }
}

static void advance(group *g, size_t used, size_t n_blocks) {
    for (size_t i = 0; i < used; i++) {
        g->left[i] -= 64 * (int64_t)n_blocks;
        g->data[i] = readable(g->data[i] + 64 * n_blocks, g->left[i]);
    }
}

/* The lanes are set; all take n_blocks, of which `whole` are whole in each. */
static void hash_group(uint8_t *out, group *g, const hft_sha256_kernel_lanes *lanes, const hft_sha256_ends *ends,
                       size_t used, size_t whole, size_t n_blocks) {
    const size_t width = lanes->width;
    lanes->start(g->state, ends->inner);
    fill_up(g, used, width);
    if (whole != 0) {
        lanes->blocks(g->state, g->data, whole);
        advance(g, width, whole);
    }
    for (size_t i = whole; i < n_blocks; i++) {
        if (i != whole) advance(g, width, 1);
        lanes->ends(g->state, g->data, g->left, g->bits);
    }
    if (ends->outer != NULL) lanes->outer(g->state, ends->outer, ends->outer_bits);
    if (used == width) {
        lanes->digests(out, g->state);
        return;
    }
    uint8_t digests[32 * LANES];
    lanes->digests(digests, g->state);
    memcpy(out, digests, 32 * used);
}

static const hft_sha256_step *best_step(const hft_sha256_step *step, size_t n) {
    while (step->lanes != NULL && n < step->least) step++;
    return step;
}

static void hash_items(uint8_t *out, const hft_sha256_ends *ends, const void *data, size_t size, size_t n,
                       const hft_sha256_kernels *kernels) {
    const hft_sha256_step *step = kernels->steps;
    const uint8_t *item = data;
    group g;
    for (size_t used; (step = best_step(step, n))->lanes != NULL; n -= used, out += 32 * used) {
        used = n < step->lanes->width ? n : step->lanes->width;
        for (size_t i = 0; i < used; i++, item += size) set_lane(&g, i, ends, item, size);
        hash_group(out, &g, step->lanes, ends, used, size / 64, blocks_of(size));
    }
    for (; n != 0; n--, out += 32, item += size) kernels->one->digest(out, ends, item, size);
}

/* ---- messages of any lengths ---- */

typedef struct {
    group g;
    uint8_t *out[LANES];
    size_t busy;
    const hft_sha256_ends *ends; /* without the outer hash */
} shared_lanes;

/* The messages that no lane has taken yet. */
typedef struct {
    uint8_t *out;
    const void *const *data;
    const size_t *len;
    size_t n;
} queue;

static void put_state(shared_lanes *s, size_t lane, const hft_sha256_state *state) {
    for (size_t word = 0; word < 8; word++) s->g.state[word][lane] = state->h[word];
}

static hft_sha256_state get_state(const shared_lanes *s, size_t lane) {
    hft_sha256_state state;
    for (size_t word = 0; word < 8; word++) state.h[word] = s->g.state[word][lane];
    return state;
}

static void take(shared_lanes *s, size_t lane, queue *q) {
    set_lane(&s->g, lane, s->ends, q->data[0], q->len[0]);
    put_state(s, lane, s->ends->inner);
    s->out[lane] = q->out;
    q->out += 32;
    q->data++;
    q->len++;
    q->n--;
}

static void move_lane(shared_lanes *s, size_t to, size_t from) {
    for (size_t word = 0; word < 8; word++) s->g.state[word][to] = s->g.state[word][from];
    s->g.left[to] = s->g.left[from];
    s->g.bits[to] = s->g.bits[from];
    s->g.data[to] = s->g.data[from];
    s->out[to] = s->out[from];
}

/* The hash in a lane is complete. Returns 1 if the lane goes on with another message. */
static int end_lane(shared_lanes *s, size_t lane, queue *q) {
    hft_sha256_state state = get_state(s, lane);
    hft_sha256_state_bytes(s->out[lane], &state);
    if (q->n == 0) return 0;
    take(s, lane, q);
    return 1;
}

/* One pass over the lanes of a kernel. */
static void pass(shared_lanes *s, const hft_sha256_kernel_lanes *lanes, queue *q) {
    size_t used = s->busy < lanes->width ? s->busy : lanes->width;
    int64_t least = s->g.left[0];
    for (size_t i = 1; i < used; i++) least = s->g.left[i] < least ? s->g.left[i] : least;
    fill_up(&s->g, used, lanes->width);
    if (least >= 64) {
        size_t n_blocks = (size_t)least / 64;
        lanes->blocks(s->g.state, s->g.data, n_blocks);
        advance(&s->g, used, n_blocks);
        return;
    }
    uint32_t ended = 0; /* where the length fits in: a set, because which lanes those are no branch can foresee */
    for (size_t i = 0; i < used; i++) ended |= (uint32_t)(s->g.left[i] < 56) << i;
    lanes->ends(s->g.state, s->g.data, s->g.left, s->g.bits);
    advance(&s->g, used, 1);
    while (ended != 0) {
        size_t i = 31 - (size_t)__builtin_clz(ended);
        ended &= ~((uint32_t)1 << i);
        if (!end_lane(s, i, q) && --s->busy != i) move_lane(s, i, s->busy);
    }
}

/* What is left in a lane, alone. */
static void finish_lane(shared_lanes *s, size_t lane, const hft_sha256_kernel_one *one) {
    hft_sha256_state state = get_state(s, lane);
    size_t left = s->g.left[lane] > 0 ? (size_t)s->g.left[lane] : 0;
    hft_sha256_ends ends = {.inner = &state, .hashed = s->g.bits[lane] / 8 - left};
    if (s->g.left[lane] >= 0) {
        one->digest(s->out[lane], &ends, s->g.data[lane], left);
        return;
    }
    uint8_t block[64]; /* the one that holds the length alone */
    hft_sha256_pad(block, s->g.data[lane], s->g.left[lane], s->g.bits[lane]);
    one->blocks(&state, block, 1);
    hft_sha256_state_bytes(s->out[lane], &state);
}

/* The inner hashes share the lanes until so few are left that single messages are better. The outer ones are alike. */
static void share_lanes(queue *q, const hft_sha256_ends *ends, const hft_sha256_kernels *kernels,
                        const hft_sha256_step *step) {
    hft_sha256_ends inner = {.inner = ends->inner, .hashed = ends->hashed};
    uint8_t *out = q->out;
    shared_lanes s;
    s.ends = &inner;
    s.busy = 0;
    for (; (step = best_step(step, s.busy + q->n))->lanes != NULL; pass(&s, step->lanes, q))
        while (s.busy < step->lanes->width && q->n != 0) take(&s, s.busy++, q);
    while (s.busy != 0) finish_lane(&s, --s.busy, kernels->one);
    if (ends->outer == NULL) return;
    hft_sha256_ends outer = {.inner = ends->outer, .hashed = ends->outer_bits / 8 - 32};
    hash_items(out, &outer, out, 32, (size_t)(q->out - out) / 32, kernels);
}

/* How many of the next messages, at most `width`, take as many blocks as the first; and how many of these blocks are
 * whole in each. */
static size_t alike(const queue *q, size_t width, size_t *whole) {
    size_t n_blocks = blocks_of(q->len[0]), most = q->n < width ? q->n : width, least_len = q->len[0], i = 1;
    for (; i < most && blocks_of(q->len[i]) == n_blocks; i++) least_len = q->len[i] < least_len ? q->len[i] : least_len;
    *whole = least_len / 64;
    return i;
}

static void batch(uint8_t *out, const hft_sha256_ends *ends, const void *const *data, const size_t *len, size_t n,
                  const hft_sha256_kernels *kernels) {
    queue q = {out, data, len, n};
    const hft_sha256_step *step = kernels->steps;
    while ((step = best_step(step, q.n))->lanes != NULL) {
        size_t width = step->lanes->width, used = q.n < width ? q.n : width, whole;
        if (alike(&q, width, &whole) < used) {
            share_lanes(&q, ends, kernels, step);
            continue;
        }
        group g;
        for (size_t i = 0; i < used; i++) set_lane(&g, i, ends, q.data[i], q.len[i]);
        hash_group(q.out, &g, step->lanes, ends, used, whole, blocks_of(q.len[0]));
        q = (queue){q.out + 32 * used, q.data + used, q.len + used, q.n - used};
    }
    for (; q.n != 0; q = (queue){q.out + 32, q.data + 1, q.len + 1, q.n - 1})
        kernels->one->digest(q.out, ends, q.data[0], q.len[0]);
}

/* ---- self-test ---- */

/* Lengths on both sides of every border of the padding, side by side and sharing lanes, and merkle pairs. */
static int test_lanes(const hft_sha256_kernels *kernels) {
    const size_t width = kernels->steps[0].lanes->width;
    const void *data[LANES] = {NULL};
    uint8_t message[160], out[32 * LANES], expected[32];
    size_t len[LANES] = {0};
    for (size_t i = 0; i < sizeof message; i++) message[i] = (uint8_t)(i * 17 + 3);
    for (size_t shape = 0; shape < 3; shape++) {
        for (size_t i = 0; i < width; i++) {
            data[i] = message + i;
            len[i] = shape == 0 ? 119 - i % 56 : shape == 1 ? (53 + 5 * i) % 129 : 64;
        }
        batch(out, &hft_sha256_double, data, len, width, kernels);
        for (size_t i = 0; i < width; i++) {
            kernels->one->digest(expected, &hft_sha256_double, data[i], len[i]);
            if (memcmp(out + 32 * i, expected, 32) != 0) return HFT_E_SELF_TEST;
        }
    }
    return HFT_OK;
}

int hft_sha256_test_lanes(const hft_sha256_kernels *kernels) {
    for (const hft_sha256_step *step = kernels->steps; step->lanes != NULL; step++) {
        const hft_sha256_kernels alone = {kernels->name, kernels->one, {{step->lanes, 1}}};
        int rc = test_lanes(&alone);
        if (rc < 0) return rc;
    }
    return HFT_OK;
}

/* ---- the calls ---- */

void hft_sha256_batch(uint8_t *out, const hft_sha256_ends *ends, const void *const *data, const size_t *len, size_t n) {
    batch(out, ends, data, len, n, hft_sha256_in_use());
}

void hft_sha256_many(uint8_t *out, const void *const *data, const size_t *len, size_t n) {
    hft_sha256_batch(out, &hft_sha256_single, data, len, n);
}

void hft_sha256d_many(uint8_t *out, const void *const *data, const size_t *len, size_t n) {
    hft_sha256_batch(out, &hft_sha256_double, data, len, n);
}

void hft_sha256_items(uint8_t *out, const void *data, size_t item_size, size_t n) {
    hash_items(out, &hft_sha256_single, data, item_size, n, hft_sha256_in_use());
}

void hft_sha256d_items(uint8_t *out, const void *data, size_t item_size, size_t n) {
    hash_items(out, &hft_sha256_double, data, item_size, n, hft_sha256_in_use());
}

int hft_merkle_root(uint8_t out[32], uint8_t *level, size_t n) {
    int mutated = 0;
    while (n > 1) {
        uint8_t last[64];
        size_t n_pairs = n / 2;
        for (size_t i = 0; i < n_pairs; i++) mutated |= memcmp(level + 64 * i, level + 64 * i + 32, 32) == 0;
        if ((n & 1) != 0) {
            memcpy(last, level + 32 * (n - 1), 32);
            memcpy(last + 32, last, 32);
        }
        hft_sha256d_items(level, level, 64, n_pairs);
        if ((n & 1) != 0) hft_sha256d_digest(level + 32 * n_pairs, last, sizeof last);
        n = n_pairs + (n & 1);
    }
    memcpy(out, level, 32);
    return mutated;
}
