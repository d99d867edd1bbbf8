/* The risk gate against a plain model: a bucket counted in whole and a list of all orders ever accepted. */
#include "check.h"

#include <hft/risk.h>

#define ORDERS_MAX 20000

static uint64_t random_state = 88172645463325252;

static uint64_t random_below(uint64_t bound) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

typedef struct {
    hft_risk_limits limits;
    uint64_t cooldown[HFT_RISK_RULES_MAX];
    uint64_t fill, filled_at; /* tokens times refill_ns */
    int killed;
    size_t n_orders;
    struct { uint64_t time, notional; uint32_t rule; } orders[ORDERS_MAX];
} model;

static int model_check(model *m, uint32_t rule, uint64_t notional, uint64_t now) {
    uint64_t full = m->limits.burst * m->limits.refill_ns, count = 0, sum = 0;
    m->fill = full - m->fill < now - m->filled_at ? full : m->fill + (now - m->filled_at);
    m->filled_at = now;
    if (m->killed) return HFT_E_RISK_KILLED;
    if (m->fill < m->limits.refill_ns) return HFT_E_RISK_RATE;
    for (size_t i = m->n_orders; i-- > 0;)
        if (m->orders[i].rule == rule && now - m->orders[i].time < m->cooldown[rule]) return HFT_E_RISK_COOLDOWN;
    for (size_t i = m->n_orders; i-- > 0;)
        if (now - m->orders[i].time < m->limits.window_ns) count++, sum += m->orders[i].notional;
    if (count >= m->limits.window_orders) return HFT_E_RISK_ORDERS;
    if (sum + notional > m->limits.window_notional) return HFT_E_RISK_NOTIONAL;
    m->fill -= m->limits.refill_ns;
    m->orders[m->n_orders].time = now;
    m->orders[m->n_orders].notional = notional;
    m->orders[m->n_orders++].rule = rule;
    return HFT_OK;
}

static void test_model(void) {
    static model m;
    static hft_risk risk;
    int seen[6] = {0};
    for (int round = 0; round < 200; round++) {
        uint64_t now = random_below(1u << 30);
        memset(&m, 0, sizeof m);
        m.limits = (hft_risk_limits){.burst = (uint32_t)(1 + random_below(5)), .refill_ns = 1 + random_below(50),
                                     .window_ns = 1 + random_below(1000),
                                     .window_orders = (uint32_t)(1 + random_below(12)),
                                     .window_notional = random_below(600)};
        m.fill = m.limits.burst * m.limits.refill_ns;
        m.filled_at = now;
        CHECK_EQ(hft_risk_init(&risk, &m.limits), HFT_OK);
        for (uint32_t rule = 0; rule < 4; rule++) {
            m.cooldown[rule] = random_below(2) ? random_below(200) : 0;
            CHECK_EQ(hft_risk_set_cooldown(&risk, rule, m.cooldown[rule]), HFT_OK);
        }
        for (int i = 0; i < 500; i++) {
            uint32_t rule = (uint32_t)random_below(4);
            uint64_t notional = random_below(100);
            if (random_below(50) == 0) hft_risk_kill(&risk, m.killed = random_below(2) != 0);
            now += random_below(4) ? random_below(60) : 0;
            int expected = model_check(&m, rule, notional, now);
            CHECK_EQ(hft_risk_check(&risk, rule, notional, now), expected);
            seen[expected == HFT_OK ? 5 : HFT_E_RISK_KILLED - expected]++;
        }
    }
    for (int i = 0; i < 6; i++) CHECK(seen[i] > 100); /* every answer was tried */
}

static void test_full_window(void) {
    static hft_risk risk;
    hft_risk_limits limits = {.burst = 2000, .refill_ns = 1, .window_ns = 1000000, .window_orders = HFT_RISK_WINDOW_MAX,
                              .window_notional = UINT64_MAX};
    CHECK_EQ(hft_risk_init(&risk, &limits), HFT_OK);
    for (uint64_t i = 0; i < HFT_RISK_WINDOW_MAX; i++) CHECK_EQ(hft_risk_check(&risk, 0, 1, 1000 + i), HFT_OK);
    CHECK_EQ(hft_risk_check(&risk, 0, 1, 1001000 - 1), HFT_E_RISK_ORDERS);
    for (uint64_t i = 0; i < 3 * HFT_RISK_WINDOW_MAX; i++) {
        uint64_t now = 1001000 + i % HFT_RISK_WINDOW_MAX + i / HFT_RISK_WINDOW_MAX * 1000000;
        CHECK_EQ(hft_risk_check(&risk, 0, 1, now), HFT_OK); /* just as the oldest leaves */
        CHECK_EQ(hft_risk_check(&risk, 0, 1, now), HFT_E_RISK_ORDERS);
        CHECK_EQ(risk.window_sum, HFT_RISK_WINDOW_MAX);
    }
}

static void test_edges(void) {
    static hft_risk risk;
    const hft_risk_limits good = {.burst = 1, .refill_ns = 1, .window_ns = 10, .window_orders = 5,
                                  .window_notional = UINT64_MAX};
    hft_risk_limits bad;
#define CHECK_BAD(field, value) (bad = good, bad.field = (value), CHECK_EQ(hft_risk_init(&risk, &bad), HFT_E_ARGUMENT))
    CHECK_BAD(burst, 0);
    CHECK_BAD(refill_ns, 0);
    CHECK_BAD(window_ns, 0);
    CHECK_BAD(window_orders, 0);
    CHECK_BAD(window_orders, HFT_RISK_WINDOW_MAX + 1);
    CHECK_BAD(window_ns, UINT64_MAX);
    CHECK_BAD(refill_ns, UINT64_MAX);
    bad = good;
    bad.burst = UINT32_MAX;
    bad.refill_ns = (uint64_t)1 << 40;
    CHECK_EQ(hft_risk_init(&risk, &bad), HFT_E_ARGUMENT); /* their product overflows */

    CHECK_EQ(hft_risk_init(&risk, &good), HFT_OK);
    CHECK_EQ(hft_risk_set_cooldown(&risk, HFT_RISK_RULES_MAX, 1), HFT_E_ARGUMENT);
    CHECK_EQ(hft_risk_set_cooldown(&risk, 0, UINT64_MAX), HFT_E_ARGUMENT);
    CHECK_EQ(hft_risk_check(&risk, HFT_RISK_RULES_MAX, 1, 1), HFT_E_ARGUMENT);
    CHECK_EQ(hft_risk_check(&risk, 0, UINT64_MAX, 5), HFT_OK); /* the sum must not wrap */
    CHECK_EQ(hft_risk_check(&risk, 0, 1, 6), HFT_E_RISK_NOTIONAL);
    CHECK_EQ(hft_risk_check(&risk, 0, 0, 6), HFT_OK);
    CHECK_EQ(hft_risk_check(&risk, 0, 1, 15), HFT_OK);

    /* A clock that stepped back a little, as at a resync, must not empty the window. */
    hft_risk_limits narrow = good;
    narrow.burst = 10;
    narrow.window_orders = 1;
    CHECK_EQ(hft_risk_init(&risk, &narrow), HFT_OK);
    CHECK_EQ(hft_risk_check(&risk, 0, 1, 100), HFT_OK);
    CHECK_EQ(hft_risk_check(&risk, 1, 1, 99), HFT_E_RISK_ORDERS);
    CHECK_EQ(hft_risk_check(&risk, 0, 1, 110), HFT_OK);
}

int main(void) {
    test_model();
    test_full_window();
    test_edges();
    return check_done();
}
