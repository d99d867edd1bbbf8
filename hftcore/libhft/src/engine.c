#include <errno.h>
#include <openssl/rand.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine_internal.h"
#include "hft/text.h"

#define COMMANDS_CAP 256u /* more than there are slots, and each has one question open at most */
#define IDLE_WAIT_NS 100000000u
#define OUTPUT_LEN_MIN 10  /* amount, length, and a script that can be watched */
#define PAGE_SIZE 4096u
#define SEND_CAP 65536u
#define UPGRADE_ROOM 16384u

uint64_t hft_engine_wall_ns(const hft_engine *e) { return hft_ticks_wall_ns(&e->clock, hft_ticks(&e->clock)); }

/* ---- before open ---- */

hft_engine *hft_engine_new(const hft_engine_config *config) {
    hft_engine *e = aligned_alloc(64, (sizeof *e + 63) / 64 * 64);
    if (e == NULL) return NULL;
    memset(e, 0, sizeof *e);
    e->config = *config;
    e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e->resolve_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e->wake_fd = eventfd(0, EFD_CLOEXEC);
    e->listen_fd = -1;
    e->peers = calloc(HFT_ENGINE_PEERS_MAX, sizeof *e->peers);
    e->venues = calloc(HFT_ENGINE_VENUES_MAX, sizeof *e->venues);
    e->rules = calloc(HFT_ENGINE_RULES_MAX, sizeof *e->rules);
    if (e->event_fd < 0 || e->resolve_fd < 0 || e->wake_fd < 0 || !e->peers || !e->venues || !e->rules) {
        hft_engine_free(e);
        return NULL;
    }
    return e;
}

int hft_engine_add_peer(hft_engine *e) {
    if (e->opened) return HFT_E_STATE;
    return e->n_peers == HFT_ENGINE_PEERS_MAX ? HFT_E_ARGUMENT : (int)e->n_peers++;
}

static int copy_string(char *out, const char *text) {
    size_t len = strlen(text);
    if (len >= HFT_STRING_MAX) return HFT_E_ARGUMENT;
    memcpy(out, text, len + 1);
    return 0;
}

int hft_engine_add_venue(hft_engine *e, const hft_venue_config *config, hft_err *err) {
    if (e->opened) return hft_fail(err, HFT_E_STATE, 0, NULL);
    if (e->n_venues == HFT_ENGINE_VENUES_MAX) return hft_fail(err, HFT_E_ARGUMENT, 0, "more than 8 venues");
    if (config->time_request == NULL || config->server_time_unit_ns == 0)
        return hft_fail(err, HFT_E_ARGUMENT, 0, "a venue needs a request for its time");
    hft_engine_venue *v = &e->venues[e->n_venues];
    const char *texts[4] = {config->host, config->host_header, config->target, config->headers};
    for (size_t i = 0; i < 4; i++)
        if (copy_string(v->strings[i], texts[i]) < 0) return hft_fail(err, HFT_E_ARGUMENT, 0, "host or URL too long");
    v->config = *config;
    v->config.host = v->strings[0];
    v->config.host_header = v->strings[1];
    v->config.target = v->strings[2];
    v->config.headers = v->strings[3];
    v->time_request = *config->time_request;
    v->config.time_request = &v->time_request;
    if (config->user_request != NULL) {
        v->user_request = *config->user_request;
        v->config.user_request = &v->user_request;
    }
    return (int)e->n_venues++;
}

/* Every slot that a fill needs must be one that the engine knows how to fill. */
static int check_slots(const hft_order_template *t, hft_err *err) {
    static const struct { const char *name; uint32_t kinds; } known[] = {
        {"client_id", 1u << HFT_SLOT_TEXT},
        {"quantity", 1u << HFT_SLOT_DECIMAL | 1u << HFT_SLOT_DECIMAL_TRIMMED},
        {"timestamp", 1u << HFT_SLOT_TIMESTAMP | 1u << HFT_SLOT_RFC3339},
    };
    for (uint32_t i = 0; i < t->n_slots; i++) {
        const hft_order_slot *slot = &t->slots[i];
        int ok = slot->kind == HFT_SLOT_SIGNATURE_HEX || slot->kind == HFT_SLOT_SIGNATURE_BASE64 || slot->of != i;
        for (size_t j = 0; j < sizeof known / sizeof *known; j++)
            ok |= strcmp(slot->name, known[j].name) == 0 && (known[j].kinds >> slot->kind & 1) != 0;
        if (!ok) return hft_fail(err, HFT_E_ORDER_SLOT, 0, slot->name);
    }
    return 0;
}

int hft_engine_add_rule(hft_engine *e, const hft_rule_config *config, hft_err *err) {
    if (e->opened) return hft_fail(err, HFT_E_STATE, 0, NULL);
    if (e->n_rules == HFT_ENGINE_RULES_MAX) return hft_fail(err, HFT_E_ARGUMENT, 0, "more than 64 rules");
    if (config->venue >= e->n_venues || config->min_sat == 0) return hft_fail(err, HFT_E_ARGUMENT, 0, "rule");
    int rc = check_slots(config->order, err);
    if (rc == 0) rc = check_slots(config->query, err);
    if (rc < 0) return rc;
    hft_engine_rule *r = &e->rules[e->n_rules];
    r->client_id_slot = hft_order_find_slot(config->order, "client_id", 9);
    r->timestamp_slot = hft_order_find_slot(config->order, "timestamp", 9);
    r->quantity_slot = hft_order_find_slot(config->order, "quantity", 8);
    r->query_client_id_slot = hft_order_find_slot(config->query, "client_id", 9);
    r->query_timestamp_slot = hft_order_find_slot(config->query, "timestamp", 9);
    if (r->client_id_slot < 0 || r->timestamp_slot < 0 || r->query_client_id_slot < 0)
        return hft_fail(err, HFT_E_ORDER_SLOT, 0, "an order needs client_id and timestamp, its query client_id");
    if (config->order->message_max + HFT_WS_HEADER_MAX > HFT_CONN_PLAIN_MAX)
        return hft_fail(err, HFT_E_ORDER_TEMPLATE, 0, "longer than one TLS record");
    if (config->labels != NULL) {
        size_t bytes = (config->n_labels + 7u) / 8u;
        r->first_labels = malloc(bytes != 0 ? bytes : 1);
        if (r->first_labels == NULL) return hft_fail(err, HFT_E_MEMORY, 0, NULL);
        memcpy(r->first_labels, config->labels, bytes);
        r->labels = r->first_labels;
        r->n_labels = config->n_labels;
    }
    r->venue = config->venue;
    r->quantity = config->quantity;
    r->notional = config->notional;
    r->min_sat = config->min_sat;
    r->order = *config->order;
    r->query = *config->query;
    r->internal = config->internal;
    r->certain_only = config->certain_only;
    r->min_peers = config->min_peers;
    r->cooldown_ns = config->cooldown_ns;
    r->presign_window_ns = config->presign_window_ns;
    return (int)e->n_rules++;
}

/* ---- memory: taken by open, given back by free ---- */

static void *take(hft_engine *e, size_t size) {
    size_t rounded = (size + 63) / 64 * 64;
    if (size == 0) rounded = 64;
    if (e->n_blocks == sizeof e->blocks / sizeof *e->blocks) return NULL;
    void *block = aligned_alloc(64, rounded); /* a page costs memory when it is first touched, and some us then */
    if (block == NULL) return NULL;
    e->blocks[e->n_blocks].memory = block;
    e->blocks[e->n_blocks++].size = rounded;
    HFT_COUNT(e->stats.memory_now, rounded);
    return block;
}

/* Memory that the hot path writes to all over: its pages are touched now. */
static void *take_touched(hft_engine *e, size_t size) {
    void *block = take(e, size);
    if (block != NULL) memset(block, 0, size);
    return block;
}

static int take_inventory(hft_engine *e, hft_inventory *inventory, uint32_t cap, const uint64_t key[2]) {
    void *memory = take_touched(e, hft_inventory_size(cap));
    return memory == NULL ? HFT_E_MEMORY : hft_inventory_init(inventory, memory, cap, key);
}

static int take_queue(hft_engine *e, hft_spsc *queue, size_t cap, size_t record_size) {
    void *memory = take_touched(e, cap * record_size);
    return memory == NULL ? HFT_E_MEMORY : hft_spsc_init(queue, memory, cap, record_size);
}

/* Many small pages: one of 2 MiB would take 100 us when it is first touched, between two transactions. */
static int take_outpoints(hft_engine *e, const uint64_t key[2]) {
    size_t size = hft_outpoints_size(e->config.outpoints_cap);
    if (e->config.outpoints_cap == 0) return 0;
    uint8_t *memory = size != 0 ? take(e, size + PAGE_SIZE) : NULL;
    if (memory == NULL) return size == 0 ? HFT_E_ARGUMENT : HFT_E_MEMORY;
    memory += -(uintptr_t)memory % PAGE_SIZE;
    (void)!madvise(memory, size, MADV_NOHUGEPAGE); /* fails where there are no others */
    return hft_outpoints_init(&e->outpoints, memory, e->config.outpoints_cap, key);
}

static int take_told(hft_engine *e, const uint64_t key[2]) {
    e->told = take_touched(e, HFT_MATCHED_CAP * sizeof *e->told);
    e->told_groups = take_touched(e, HFT_MATCHED_CAP * sizeof *e->told_groups);
    if (e->told == NULL || e->told_groups == NULL) return HFT_E_MEMORY;
    return take_inventory(e, &e->matched, HFT_MATCHED_CAP, key);
}

static int take_fired(hft_engine *e, const uint64_t key[2]) {
    e->fired_rules = take_touched(e, HFT_FIRED_CAP * sizeof *e->fired_rules);
    return e->fired_rules == NULL ? HFT_E_MEMORY : take_inventory(e, &e->fired, HFT_FIRED_CAP, key);
}

static int take_tables(hft_engine *e) {
    uint64_t keys[5][2];
    if (RAND_bytes((unsigned char *)keys, sizeof keys) != 1) return HFT_E_TLS_CONFIG;
    e->random_state = keys[3][0] | 1;
    e->group_key = keys[3][1];
    e->deposit_floor_sat = e->config.deposit_min_sat;
    for (uint32_t i = 0; i < e->n_rules; i++)
        if (e->rules[i].min_sat < e->deposit_floor_sat) e->deposit_floor_sat = e->rules[i].min_sat;
    e->announced_max = e->config.seen_cap / 2 / (e->n_peers != 0 ? e->n_peers : 1);
    if (e->announced_max > HFT_ANNOUNCED_MAX) e->announced_max = HFT_ANNOUNCED_MAX;
    size_t deposits_max = e->config.message_max / OUTPUT_LEN_MIN + 1, n_slots = 1;
    while (n_slots < 2 * deposits_max) n_slots *= 2;
    e->deposit_slot_mask = (uint32_t)(n_slots - 1);
    e->deposit_multiplier = keys[3][1] | 1;
    e->deposit_slots = take_touched(e, n_slots * sizeof *e->deposit_slots);
    e->deposits = take(e, deposits_max * sizeof *e->deposits);
    e->latency = take(e, HFT_LATENCIES * sizeof *e->latency);
    e->pending = take(e, e->config.pending_cap * sizeof *e->pending);
    e->waiting = take(e, HFT_WAITING_MAX * sizeof *e->waiting);
    e->request_hashes = take(e, HFT_REQUEST_BATCH * 32);
    if (!e->deposit_slots || !e->deposits || !e->latency || !e->pending || !e->waiting ||
        !e->request_hashes) return HFT_E_MEMORY;
    memset(e->pending, 0, e->config.pending_cap * sizeof *e->pending);
    for (int i = 0; i < HFT_LATENCIES; i++) hft_hist_init(&e->latency[i]);
    int rc = take_inventory(e, &e->inventory, e->config.seen_cap, keys[0]);
    if (rc == 0) rc = take_told(e, keys[1]);
    if (rc == 0) rc = take_outpoints(e, keys[4]);
    if (rc == 0) rc = take_fired(e, keys[2]);
    if (rc == 0) rc = take_queue(e, &e->events, e->config.event_cap, sizeof(hft_event));
    if (rc == 0) rc = take_queue(e, &e->commands, COMMANDS_CAP, sizeof(hft_engine_addresses));
    if (rc == 0 && e->ask_addresses) rc = take_queue(e, &e->nodes, HFT_NODES_CAP, sizeof(hft_engine_node));
    return rc;
}

/* "p", the rule in two hex digits, "-", 16 digits of this run, and the serial number: no run gives an id twice. */
static int init_ahead(hft_engine_rule *r, uint8_t rule, const uint8_t run[8], void *memory) {
    hft_order_value values[HFT_ORDER_SLOTS_MAX] = {0};
    char prefix[20] = "p00-";
    if (r->quantity_slot >= 0) values[r->quantity_slot].u64 = r->quantity;
    hft_hex_encode(prefix + 1, &rule, 1);
    hft_hex_encode(prefix + 4, run, 8);
    return hft_presign_init(&r->ahead, &(hft_presign_config){
        .order = &r->order, .timestamp_slot = r->timestamp_slot, .id_slot = r->client_id_slot, .values = values,
        .id_prefix = prefix, .id_prefix_len = sizeof prefix, .count = HFT_PRESIGN_COUNT,
        .step_ns = HFT_PRESIGN_STEP_NS, .window_ns = r->presign_window_ns}, memory);
}

static int take_presign(hft_engine *e) {
    uint8_t run[8];
    for (uint32_t i = 0; i < e->n_rules; i++)
        if (e->rules[i].presign_window_ns != 0)
            e->presign_size += hft_presign_size(&e->rules[i].order, HFT_PRESIGN_COUNT);
    if (e->presign_size == 0) return 0;
    uint8_t *memory = e->presign_memory = take_touched(e, e->presign_size);
    if (memory == NULL) return HFT_E_MEMORY;
    if (RAND_bytes(run, sizeof run) != 1) return HFT_E_TLS_CONFIG;
    for (uint32_t i = 0; i < e->n_rules; i++) {
        hft_engine_rule *r = &e->rules[i];
        if (r->presign_window_ns == 0) continue;
        int rc = init_ahead(r, (uint8_t)i, run, memory);
        if (rc < 0) return rc;
        memory += hft_presign_size(&r->order, HFT_PRESIGN_COUNT);
    }
    return 0;
}

static int open_conn(hft_engine *e, uint32_t slot, size_t recv_cap, hft_tls_context *tls, const char *host,
                     uint16_t port, hft_err *err) {
    hft_conn_config config = {
        .ring = &e->ring, .slot = slot, .tls_context = tls, .host = host, .port = port, .recv_cap = recv_cap,
        .send_cap = SEND_CAP,
        .plain_cap = tls != NULL ? recv_cap + HFT_CONN_PLAIN_MAX : 0,
    };
    config.recv_memory = take(e, config.recv_cap);
    config.send_memory = take(e, config.send_cap);
    if (tls != NULL) {
        config.plain_memory = take(e, config.plain_cap);
        config.scratch_memory = take(e, HFT_CONN_PLAIN_MAX);
    }
    if (!config.recv_memory || !config.send_memory || (tls != NULL && (!config.plain_memory || !config.scratch_memory)))
        return hft_fail(err, HFT_E_MEMORY, 0, NULL);
    return hft_conn_init(hft_conn_of(e, slot), &config, err);
}

static int open_peers(hft_engine *e, hft_err *err) {
    hft_peer_config config = {
        .magic = e->config.magic, .message_max = e->config.message_max, .user_agent = e->config.user_agent};
    if (RAND_bytes((unsigned char *)&config.nonce, sizeof config.nonce) != 1) return HFT_E_TLS_CONFIG;
    for (uint32_t i = 0; i < e->n_peers; i++) {
        size_t cap = (size_t)e->config.message_max + HFT_BTC_HEADER_LEN + HFT_CONN_RECV_MIN;
        int rc = open_conn(e, i, cap, NULL, NULL, 0, err);
        if (rc < 0) return rc;
        hft_peer_init(&e->peers[i].session, &config);
    }
    return 0;
}

static int open_venues(hft_engine *e, hft_err *err) {
    for (uint32_t i = 0; i < e->n_venues; i++) {
        hft_engine_venue *v = &e->venues[i];
        size_t cap = (size_t)e->config.venue_message_max + UPGRADE_ROOM;
        int rc = open_conn(e, hft_slot_of_venue(e, i), cap, v->config.tls, v->config.host, v->config.port, err);
        if (rc < 0) return rc;
        if (v->config.tls != NULL && !e->config.no_rehearsal) hft_tls_prepare_rehearsal(v->config.tls);
        uint8_t *message = take(e, e->config.venue_message_max);
        if (message == NULL) return hft_fail(err, HFT_E_MEMORY, 0, NULL);
        hft_wsclient_config session = {
            .host_header = v->config.host_header, .target = v->config.target, .headers = v->config.headers,
            .masks = &e->masks, .message_memory = message, .message_max = e->config.venue_message_max,
            .inplace_max = SIZE_MAX,
        };
        hft_wsclient_init(&v->session, &session);
    }
    return 0;
}

static int pin(int cpu, hft_err *err) {
    if (cpu < 0) return 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= CPU_SETSIZE) return hft_fail(err, HFT_E_ARGUMENT, 0, "cpu");
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0 ? 0
                                                       : hft_fail(err, -errno, 0, "this core cannot be used: see cpu");
}

static int arm_wake(hft_engine *e) {
    int rc = hft_ring_read(&e->ring, hft_slot_of_wake(e), 0, e->wake_fd, &e->wake_count);
    e->wake_in_flight = rc == 0;
    return rc;
}

int hft_engine_open(hft_engine *e, hft_err *err) {
    if (e->opened) return hft_fail(err, HFT_E_STATE, 0, NULL);
    int rc = hft_risk_init(&e->risk, &e->config.risk);
    for (uint32_t i = 0; i < e->n_rules && rc == 0; i++)
        rc = hft_risk_set_cooldown(&e->risk, i, e->rules[i].cooldown_ns);
    if (rc < 0) return hft_fail(err, rc, 0, "risk limits");
    rc = pin(e->config.cpu, err);
    if (rc == 0) rc = take_tables(e);
    if (rc == 0) rc = take_presign(e);
    if (rc < 0) return err->code != 0 ? rc : hft_fail(err, rc, 0, "engine tables");
    hft_clock_init(&e->clock);
    hft_wsclient_masks_init(&e->masks);
    rc = hft_ring_open(&e->ring, (hft_ring_backend)e->config.backend, hft_slot_of_listen(e) + 1, err);
    e->ring.spins = e->config.spin;
    if (rc == 0) rc = open_peers(e, err);
    if (rc == 0) rc = open_venues(e, err);
    if (rc == 0) rc = arm_wake(e);
    if (rc == 0) rc = hft_peers_listen(e);
    if (rc < 0) return err->code != 0 ? rc : hft_fail(err, rc, 0, "engine");
    e->opened = 1;
    return 0;
}

/* ---- completions ---- */

static void on_peer_event(hft_engine *e, uint32_t peer, const hft_peer_event *event) {
    switch (event->kind) {
    case HFT_PEER_OPENED: hft_link_set_ready(e, peer, 1); break;
    case HFT_PEER_INV: hft_inventory_on_inv(e, peer, event->entries, event->n_entries); break;
    case HFT_PEER_NOTFOUND: hft_inventory_on_notfound(e, peer, event->entries, event->n_entries); break;
    case HFT_PEER_ADDRS: hft_peers_on_addrs(e, peer, (hft_btc_addrs *)&event->addrs); break;
    case HFT_PEER_TX: hft_engine_on_tx(e, peer, &event->message); break;
    default: break;
    }
}

static void on_peer(hft_engine *e, uint32_t peer, int news) {
    hft_peer *session = &e->peers[peer].session;
    hft_peer_event event;
    if (news == HFT_CONN_UP && hft_peer_start(session, e->now_ns, hft_engine_wall_ns(e)) < 0) return;
    if (news != HFT_CONN_DATA) return;
    while (hft_peer_next(session, &event, e->now_ns) == 1) on_peer_event(e, peer, &event);
    if (session->state == HFT_PEER_READY) hft_inventory_request_more(e, peer);
    if (hft_peers_may_receive(e, peer)) hft_conn_rearm(&session->conn);
}

static void on_venue(hft_engine *e, uint32_t venue, int news) {
    if (news == HFT_CONN_SENT) hft_wsclient_on_sent(&e->venues[venue].session);
    if (news == HFT_CONN_UP) hft_venue_on_up(e, venue);
    if (news == HFT_CONN_UP || news == HFT_CONN_DATA) hft_venue_on_data(e, venue);
}

static void take_commands(hft_engine *e) {
    const hft_engine_addresses *command;
    while ((command = hft_spsc_peek(&e->commands)) != NULL) {
        hft_link_addresses(e, command);
        hft_spsc_release(&e->commands);
    }
    hft_engine_take_watch(e);
}

static void on_completion(hft_engine *e, const hft_ring_completion *completion) {
    uint32_t slot = hft_ring_tag_slot(completion->tag);
    if (slot == hft_slot_of_wake(e)) {
        e->wake_in_flight = 0;
        take_commands(e);
        if (!e->stopping) (void)!arm_wake(e);
        return;
    }
    if (slot == hft_slot_of_listen(e)) {
        hft_peers_on_accept(e, completion->result);
        return;
    }
    int news = hft_conn_complete(hft_conn_of(e, slot), completion->tag, completion->result);
    if (slot < e->n_peers) on_peer(e, slot, news);
    else on_venue(e, slot - e->n_peers, news);
    hft_link_settle(e, slot);
}

/* ---- timers ---- */

static void sum_counters(hft_engine *e) {
    uint64_t messages = 0, checksum_errors = 0, bytes_in = 0, bytes_out = 0;
    for (uint32_t i = 0; i < e->n_peers; i++) {
        messages += e->peers[i].session.messages_in;
        checksum_errors += e->peers[i].session.checksum_errors;
    }
    for (uint32_t slot = 0; slot < hft_slot_of_wake(e); slot++) {
        bytes_in += hft_conn_of(e, slot)->bytes_in;
        bytes_out += hft_conn_of(e, slot)->bytes_out;
    }
    HFT_COUNT(e->stats.messages_in, messages - e->stats.messages_in);
    HFT_COUNT(e->stats.checksum_errors, checksum_errors - e->stats.checksum_errors);
    HFT_COUNT(e->stats.bytes_in, bytes_in - e->stats.bytes_in);
    HFT_COUNT(e->stats.bytes_out, bytes_out - e->stats.bytes_out);
}

static void tick(hft_engine *e) {
    if (e->now_ns >= e->next_resync_ns) {
        hft_clock_resync(&e->clock);
        e->next_resync_ns = e->now_ns + 1000000000u;
    }
    for (uint32_t i = 0; i < e->n_peers; i++)
        hft_peer_tick(&e->peers[i].session, e->now_ns, e->config.ping_interval_ns, e->config.idle_timeout_ns);
    hft_wsclient_masks_refill(&e->masks);
    for (uint32_t i = 0; i < e->n_venues; i++) hft_venue_tick(e, i);
    e->unsettled = 0;
    for (uint32_t slot = 0; slot < hft_slot_of_wake(e); slot++) {
        hft_link_tick(e, slot);
        e->unsettled |= !hft_link_is_settled(e, slot);
    }
    hft_peers_tick(e);
    if (e->now_ns >= e->next_inventory_ns) hft_inventory_tick(e);
    hft_orders_tick(e);
    hft_waiting_tick(e);
    hft_engine_take_watch(e);
    sum_counters(e);
    e->next_tick_ns = e->now_ns + HFT_TICK_NS;
}

/* How long the kernel may let us sleep: short while anything is under way that only time can end. */
static uint64_t wait_ns(const hft_engine *e) {
    if (e->config.spin || e->signing_ahead) return 0;
    int settled = e->inventory.open_len == 0 && e->n_pending == 0 && e->n_waiting == 0 && !e->stopping && !e->unsettled;
    return settled ? IDLE_WAIT_NS : HFT_TICK_NS;
}

/* ---- stopping ---- */

static int orders_in_doubt(const hft_engine *e) {
    for (uint32_t i = 0; i < e->config.pending_cap && e->n_pending != 0; i++)
        if (e->pending[i].used && e->pending[i].state == HFT_ORDER_SENT) return 1;
    return 0;
}

/* Peers go at once; venues get until half of the time for answers to orders, then a close frame. */
static void begin_stop(hft_engine *e) {
    e->stopping = 1;
    e->stop_deadline_ns = e->now_ns + atomic_load(&e->stop_timeout_ns);
    for (uint32_t i = 0; i < e->n_peers; i++) {
        hft_conn_close(&e->peers[i].session.conn, HFT_E_CONN_STOPPED, NULL);
        hft_link_settle(e, i);
    }
}

static int all_idle(hft_engine *e) {
    for (uint32_t slot = 0; slot < hft_slot_of_wake(e); slot++)
        if (hft_conn_of(e, slot)->state != HFT_CONN_IDLE) return 0;
    return 1;
}

static int step_stop(hft_engine *e) {
    uint64_t patience_ns = atomic_load(&e->stop_timeout_ns) / 2;
    int close_now = !orders_in_doubt(e) || e->now_ns + patience_ns >= e->stop_deadline_ns;
    for (uint32_t i = 0; i < e->n_venues; i++) {
        hft_wsclient *session = &e->venues[i].session;
        if (e->now_ns >= e->stop_deadline_ns) hft_conn_close(&session->conn, HFT_E_CONN_STOPPED, NULL);
        else if (close_now && session->state != HFT_WSCLIENT_CLOSING) (void)!hft_wsclient_close(session, 1000, NULL, 0);
        hft_link_settle(e, hft_slot_of_venue(e, i));
    }
    return all_idle(e);
}

/* Ends the read of the wake-up descriptor, whose target is ours, before the ring goes. */
static void end_wake(hft_engine *e) {
    uint64_t one = 1;
    if (e->wake_in_flight) (void)!write(e->wake_fd, &one, sizeof one);
    if (e->accepting) (void)!hft_ring_cancel(&e->ring, hft_ring_tag(hft_slot_of_listen(e), 0, HFT_OP_ACCEPT));
    hft_ring_completion completion;
    for (int i = 0; i < 100 && (e->wake_in_flight || e->accepting) && hft_ring_wait(&e->ring, HFT_TICK_NS) == 0;)
        if (!hft_ring_next(&e->ring, &completion)) i++;
        else if (hft_ring_tag_slot(completion.tag) == hft_slot_of_wake(e)) e->wake_in_flight = 0;
        else if (hft_ring_tag_slot(completion.tag) == hft_slot_of_listen(e)) hft_peers_on_accept(e, completion.result);
    hft_ring_forget(&e->ring, hft_slot_of_wake(e), e->wake_fd);
    if (e->listen_fd >= 0) hft_ring_forget(&e->ring, hft_slot_of_listen(e), e->listen_fd);
}

/* The clock may be set back a little by a resync; time as the rules see it never is. */
static void set_now(hft_engine *e, uint64_t tick) {
    uint64_t now_ns = hft_ticks_mono_ns(&e->clock, tick);
    if (now_ns > e->now_ns) e->now_ns = now_ns;
}

/* While a request is on its way there is time: its round trip is longer than a rehearsal. */
static int rehearse_if_due(hft_engine *e) {
    if ((!e->rehearsal_due && !e->config.spin) || e->now_ns < e->next_rehearsal_ns || e->config.no_rehearsal) return 0;
    int rc = hft_ring_submit(&e->ring);
    if (rc == 0) hft_engine_rehearse(e);
    return rc;
}

int hft_engine_run(hft_engine *e) {
    if (!e->opened || e->ring.ops == NULL) return HFT_E_STATE;
    e->now_ns = hft_clock_mono_ns();
    int rc = 0;
    for (;;) {
        rc = hft_ring_wait(&e->ring, wait_ns(e));
        if (rc < 0) break;
        hft_ring_completion completion;
        if (hft_ring_next(&e->ring, &completion)) {
            e->reaped_tick = hft_ticks(&e->clock);
            set_now(e, e->reaped_tick);
            do on_completion(e, &completion);
            while (hft_ring_next(&e->ring, &completion));
        } else {
            set_now(e, hft_ticks(&e->clock));
        }
        HFT_COUNT(e->stats.loops, 1);
        if (e->now_ns >= e->next_tick_ns) tick(e);
        e->signing_ahead = (uint8_t)hft_engine_sign_ahead(e);
        if ((rc = rehearse_if_due(e)) < 0) break;
        if (!e->stopping && atomic_load_explicit(&e->stop_timeout_ns, memory_order_relaxed) != 0) begin_stop(e);
        if (e->stopping && step_stop(e)) break;
    }
    end_wake(e);
    sum_counters(e);
    for (uint32_t slot = 0; slot < hft_slot_of_wake(e); slot++) hft_conn_free(hft_conn_of(e, slot));
    hft_ring_close(&e->ring);
    if (rc < 0) hft_link_abandon_all(e, rc);
    return rc;
}

static void close_fd(int fd) {
    if (fd >= 0) close(fd);
}

void hft_engine_release(hft_engine *e) {
    if (e->ring.ops != NULL) { /* opened, never run */
        for (uint32_t slot = 0; slot < hft_slot_of_wake(e); slot++) hft_conn_free(hft_conn_of(e, slot));
        hft_ring_close(&e->ring);
    }
    e->opened = 0;
    e->latency = NULL;
    if (e->presign_memory != NULL) hft_wipe(e->presign_memory, e->presign_size);
    e->presign_memory = NULL;
    e->presign_size = 0;
    while (e->n_blocks != 0) {
        free(e->blocks[--e->n_blocks].memory);
        HFT_COUNT(e->stats.memory_now, -(int64_t)e->blocks[e->n_blocks].size);
    }
}

void hft_engine_free(hft_engine *e) {
    if (e == NULL) return;
    for (uint32_t i = 0; i < e->n_rules; i++) {
        hft_order_wipe(&e->rules[i].order);
        hft_order_wipe(&e->rules[i].query);
        free(e->rules[i].first_labels);
    }
    for (uint32_t i = 0; i < e->n_venues; i++) {
        hft_order_wipe(&e->venues[i].time_request);
        hft_order_wipe(&e->venues[i].user_request);
    }
    hft_engine_release(e);
    hft_engine_release_watches(e, UINT32_MAX);
    close_fd(e->event_fd);
    close_fd(e->resolve_fd);
    close_fd(e->wake_fd);
    close_fd(e->listen_fd);
    free(e->peers);
    free(e->venues);
    free(e->rules);
    free(e);
}
