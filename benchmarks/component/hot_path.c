/* hot_path_compute: bytes of a `tx` message in, TLS record out, without a socket.
 *
 *   hot_path CPU CONFIG OUT ORDERS
 *
 * The engine itself, with all it does for an order, on a ring made of memory: the peer's and the exchange's bytes are
 * copied into the buffers that the engine offered for receiving, and its completions are handed to the function that
 * its loop calls. An iteration begins, the message being in the receive buffer, with the completion that says so, and
 * ends when the engine submits the record. TLS 1.3 with AES-128-GCM on both sides; the exchange decrypts and checks
 * every order. Transactions come in batches of 64: announced and requested first, answered by the exchange after.
 * CONFIG: see common/config.h and hot_path.py. OUT gets the samples; the engine's stages are printed. */
#include "engine.c" /* the loop's inner functions */

#include "bench.h"
#include "config.h"
#include "hft/cpu.h"
#include "hft/tls.h"
#include "hft/watch.h"
#include "play.h"
#include "ring_backends.h"

#define BATCH 64
#define SLOTS 3
#define VENUE_SLOT 1
#define ORDER_EVERY_NS 1100000u /* of the engine's time: within what the risk gate allows */

/* ---- a ring made of memory ---- */

typedef struct { uint64_t tag; void *buf; size_t len; int active; } operation;

static operation operations[SLOTS][HFT_RING_OPS];
static hft_clock bench_clock;
static uint64_t submitted_tick;

static int memory_start(hft_ring *ring, uint64_t tag, int fd, void *buf, size_t len) {
    (void)ring, (void)fd;
    operations[hft_ring_tag_slot(tag)][hft_ring_tag_op(tag)] = (operation){tag, buf, len, 1};
    return 0;
}
static int memory_cancel(hft_ring *ring, uint64_t tag) { (void)ring, (void)tag; return 0; }
static int memory_submit(hft_ring *ring) {
    (void)ring;
    submitted_tick = bench_tick(&bench_clock);
    return 0;
}
static int memory_wait(hft_ring *ring, uint64_t timeout_ns) { (void)ring, (void)timeout_ns; return 0; }
static int memory_arm(hft_ring *ring) { (void)ring; return 0; }
static int memory_next(hft_ring *ring, hft_ring_completion *completion) { (void)ring, (void)completion; return 0; }
static void memory_forget(hft_ring *ring, uint32_t slot, int fd) { (void)ring, (void)slot, (void)fd; }
static void memory_close(hft_ring *ring) { (void)ring; }

static const hft_ring_ops memory_ops = {.start = memory_start, .cancel = memory_cancel, .submit = memory_submit,
                                        .wait = memory_wait,   .arm = memory_arm,       .next = memory_next,
                                        .forget = memory_forget, .close = memory_close};

/* Stands in for the io_uring backend, which this program neither needs nor links. */
int hft_ring_uring_open(hft_ring *ring, uint32_t slots, hft_err *err) {
    (void)ring, (void)slots;
    return hft_fail(err, HFT_E_RING_UNAVAILABLE, 0, NULL);
}

/* ---- configuration ---- */

static void fill_venue(hft_venue_config *config, hft_err *err) {
    static const char *const replies[HFT_REPLY_PATHS] = {
        [HFT_REPLY_ID] = "id", [HFT_REPLY_STATUS] = "status", [HFT_REPLY_ERROR_CODE] = "error_code",
        [HFT_REPLY_ERROR_MESSAGE] = "error_message", [HFT_REPLY_ORDER_ID] = "order_id",
        [HFT_REPLY_ORDER_STATUS] = "order_status", [HFT_REPLY_FILLED] = "filled",
        [HFT_REPLY_SERVER_TIME] = "server_time", [HFT_REPLY_RETRY_AFTER] = "retry_after",
        [HFT_REPLY_EVENT_TYPE] = "event_type", [HFT_REPLY_EVENT_CLIENT_ID] = "event_client_id",
        [HFT_REPLY_EVENT_ORDER_ID] = "event_order_id", [HFT_REPLY_EVENT_ORDER_STATUS] = "event_order_status",
        [HFT_REPLY_EVENT_FILLED] = "event_filled"};
    for (int i = 0; i < HFT_REPLY_PATHS; i++) {
        const char *path = replies[i] != NULL ? config_get(replies[i]) : "";
        if (path[0] == '\0') continue; /* the venue has no such thing, or it does not matter here */
        if (hft_json_path_init(&config->replies[i], path, strlen(path)) < 0) die("path %s", path);
    }
    strcpy(config->states[0].name, "FILLED");
    config->states[0].state = HFT_ORDER_FILLED;
    config->n_states = 1;
    strcpy(config->order_event, config_get("order_event"));
    strcpy(config->shutdown_event, config_get("shutdown_event"));
    config->host = "localhost";
    config->host_header = "localhost";
    config->target = "/ws-api/v3";
    config->headers = "";
    config->server_time_unit_ns = 1000000;
    hft_tls_config tls = {.ca_file = config_get("cert"), .resume = 1};
    if (hft_tls_context_open(&config->tls, &tls, err) < 0) die("TLS: %s", err->text);
}

static hft_watch *make_watch(const uint8_t *script) {
    static hft_watch watch;
    static const uint64_t key[HFT_WATCH_KEY_WORDS] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t other[22] = {0, 20};
    uint64_t noise = 1;
    uint32_t n = (uint32_t)atoi(config_get("watched"));
    void *memory = aligned_alloc(64, hft_watch_size(n));
    if (memory == NULL || hft_watch_init(&watch, memory, n, key) < 0) die("watch table");
    if (hft_watch_add(&watch, script, 22, 0) < 0) die("watch table");
    for (uint32_t i = 1; i < n; i++) {
        play_noise(other + 2, 20, &noise);
        if (hft_watch_add(&watch, other, sizeof other, i % 20) < 0) die("watch table");
    }
    return &watch;
}

static uint64_t presign_window_ns;

static hft_engine *make_engine(const uint8_t *script) {
    static hft_order_template order, query, time_request, user_request;
    hft_engine_config config = {
        .spin = 1, .backend = HFT_RING_EPOLL, .cpu = -1, .magic = PLAY_MAGIC, .message_max = 4000000,
        .inputs_max = 2500, .outpoints_cap = 1u << 22, .withdrawals = 1,
        .venue_message_max = 65536, .event_cap = 4096, .seen_cap = 65536, .pending_cap = 256, .deposit_min_sat = 1,
        .request_timeout_ns = 1ull << 40, .connect_timeout_ns = 1ull << 40, .handshake_timeout_ns = 1ull << 40,
        .venue_handshake_timeout_ns = 1ull << 40,
        .order_timeout_ns = 1ull << 40, .ping_interval_ns = 1ull << 40, .idle_timeout_ns = 1ull << 40,
        .venue_ping_interval_ns = 1ull << 40, .venue_idle_timeout_ns = 1ull << 40, .backoff_min_ns = 1,
        .backoff_max_ns = 1, .user_agent = "/hftcore:bench/",
        .risk = {.burst = 1024, .refill_ns = 1000000, .window_ns = 1000000000, .window_orders = 1024,
                 .window_notional = UINT64_MAX / 2},
        .watch = make_watch(script)};
    hft_err err = {0};
    hft_engine *e = hft_engine_new(&config);
    config_template(&order, "order");
    config_template(&query, "query");
    config_template(&time_request, "time");
    config_template(&user_request, "user");
    hft_venue_config venue = {.time_request = &time_request, .user_request = &user_request};
    fill_venue(&venue, &err);
    hft_rule_config rule = {.order = &order, .query = &query, .quantity = 100000, .notional = 1, .min_sat = 1,
                            .presign_window_ns = presign_window_ns};
    if (e == NULL || hft_engine_add_peer(e) < 0 || hft_engine_add_venue(e, &venue, &err) < 0 ||
        hft_engine_add_rule(e, &rule, &err) < 0 || hft_engine_open(e, &err) < 0)
        die("engine: %s", err.text);
    hft_ring_close(&e->ring);
    e->ring.ops = &memory_ops;
    return e;
}

/* ---- both sides together ---- */

static play_peer peer;
static play_venue venue;

static void complete(hft_engine *e, operation *op, size_t result) {
    hft_ring_completion completion = {.tag = op->tag, .result = (int32_t)result};
    op->active = 0;
    on_completion(e, &completion);
}

/* Hands over bytes for the engine, as many as it has room for; returns what is left of them. */
static size_t deliver(hft_engine *e, uint32_t slot, uint8_t *data, size_t len) {
    operation *op = &operations[slot][HFT_OP_RECV];
    if (!op->active || len == 0) return len;
    size_t n = len < op->len ? len : op->len;
    memcpy(op->buf, data, n);
    memmove(data, data + n, len - n);
    complete(e, op, n);
    return len - n;
}

/* Lets both sides talk until neither has anything to say. */
static void talk(hft_engine *e) {
    for (int quiet = 0; !quiet;) {
        quiet = 1;
        for (uint32_t slot = 0; slot <= VENUE_SLOT; slot++) {
            operation *send = &operations[slot][HFT_OP_SEND], *connect = &operations[slot][HFT_OP_CONNECT];
            if (connect->active) complete(e, connect, 0), quiet = 0;
            if (!send->active) continue;
            if (slot == VENUE_SLOT) play_venue_feed(&venue, send->buf, send->len);
            else play_peer_feed(&peer, send->buf, send->len);
            complete(e, send, send->len);
            quiet = 0;
        }
        size_t before = peer.out_len + venue.out_len;
        peer.out_len = deliver(e, 0, peer.out, peer.out_len);
        venue.out_len = deliver(e, VENUE_SLOT, venue.out, venue.out_len);
        quiet &= before == peer.out_len + venue.out_len;
    }
}

static void connect_both(hft_engine *e) {
    e->now_ns = 1ull << 50; /* ahead of the clock: from here on time is what we say it is */
    tick(e);
    for (int i = 0; i < 2; i++) {
        hft_engine_addresses command = {.slot = i == 0 ? 0 : HFT_ENGINE_PEERS_MAX, .n_addresses = 1};
        command.addresses[0].v4.sin_family = AF_INET;
        hft_link_addresses(e, &command);
    }
    talk(e);
    if (e->stats.peers_ready_now != 1 || e->stats.venues_ready_now != 1)
        die("not ready: peer %s, venue %s", hft_conn_of(e, 0)->err.text, hft_conn_of(e, 1)->err.text);
}

static void drain_events(hft_engine *e) {
    while (hft_engine_peek_event(e) != NULL) hft_engine_release_event(e);
}

static uint64_t time_order(hft_engine *e, const play_tx *tx) {
    operation *op = &operations[0][HFT_OP_RECV];
    memcpy(op->buf, tx->message, tx->message_len);
    hft_ring_completion completion = {.tag = op->tag, .result = (int32_t)tx->message_len};
    e->now_ns += ORDER_EVERY_NS;
    while (hft_engine_sign_ahead(e) == 1) {} /* what the loop does when it has nothing else to do */
    submitted_tick = 0;
    uint64_t before = bench_tick(&bench_clock);
    e->reaped_tick = hft_ticks(&e->clock);
    set_now(e, e->reaped_tick);
    on_completion(e, &completion);
    if (submitted_tick == 0) die("no order was submitted");
    return hft_ticks_to_ns(&bench_clock, submitted_tick - before);
}

static void run_batch(hft_engine *e, const uint8_t *script, uint64_t *number, bench_samples *samples) {
    static play_tx txs[BATCH];
    static uint8_t records[BATCH][2048];
    size_t lens[BATCH];
    for (size_t i = 0; i < BATCH; i++) play_tx_make(&txs[i], (*number)++, script);
    play_peer_announce(&peer, txs, BATCH);
    hft_venue_tick(e, 0); /* as the loop does every 10 ms: draws random masks in advance */
    talk(e);
    for (size_t i = 0; i < BATCH; i++) {
        bench_samples_add(samples, time_order(e, &txs[i]));
        operation *send = &operations[VENUE_SLOT][HFT_OP_SEND];
        lens[i] = send->len;
        memcpy(records[i], send->buf, send->len);
        complete(e, send, send->len);
    }
    for (size_t i = 0; i < BATCH; i++) {
        uint64_t orders = venue.orders;
        play_venue_feed(&venue, records[i], lens[i]);
        const char *id = venue.client_id;
        int expected = presign_window_ns != 0 ? id[0] == 'p' : strcmp(id, txs[i].client_id) == 0;
        if (venue.orders != orders + 1 || !expected) die("a record that is not the order for %s", txs[i].client_id);
        talk(e);
    }
    drain_events(e);
}

static void print_stages(const hft_engine *e) {
    static const char *const names[] = {"queue", "parse", "verify", "decide", "build", "encrypt", "submit", "total"};
    static const uint32_t shares[] = {500000, 900000, 990000, 999000};
    for (int i = 0; i <= HFT_LATENCY_TOTAL; i++) {
        printf("%s", names[i]);
        for (int j = 0; j < 4; j++) printf(" %llu", (unsigned long long)hft_hist_percentile(&e->latency[i], shares[j]));
        printf(" %llu\n", (unsigned long long)e->latency[i].max);
    }
}

int main(int argc, char **argv) {
    uint8_t script[22];
    uint64_t number = 0;
    if (argc != 5) die("hot_path CPU CONFIG OUT ORDERS");
    size_t n = (size_t)atoll(argv[4]) / BATCH;
    bench_samples warm_up, samples;
    if (hft_init(NULL) < 0) die("the core fails its self-test");
    bench_pin(atoi(argv[1]));
    config_read(argv[2]);
    for (size_t i = 0; i < sizeof script; i++)
        if (sscanf(config_get("script") + 2 * i, "%2hhx", &script[i]) != 1) die("script: 22 bytes in hex");
    presign_window_ns = 1000000 * (uint64_t)atoll(config_get("presign_window_ms"));
    hft_clock_init(&bench_clock);
    play_venue_open(&venue, config_get("cert"), config_get("key"), config_get("secret"));
    hft_engine *e = make_engine(script);
    connect_both(e);

    bench_samples_open(&warm_up, 0);
    bench_samples_open(&samples, n * BATCH);
    for (size_t i = 0; i < 8; i++) run_batch(e, script, &number, &warm_up);
    for (int i = 0; i < HFT_LATENCIES; i++) hft_hist_init(&e->latency[i]);
    for (size_t i = 0; i < n; i++) run_batch(e, script, &number, &samples);
    if (venue.orders != number || e->stats.orders_filled != number) die("not every order was filled");
    bench_samples_write(&samples, argv[3]);
    print_stages(e);
    return 0;
}
