/* The gate every order passes: kill switch, token bucket, cooldown per rule, orders and notional per window.
 * Pure integer arithmetic over a clock the caller reads; a passed check is at once an accounted order. */
#ifndef HFT_RISK_H
#define HFT_RISK_H

#include "hft/status.h"

#define HFT_RISK_RULES_MAX 64

typedef struct {
    uint32_t burst;          /* token bucket: orders at once, >= 1 */
    uint64_t refill_ns;      /* one token comes back in this time, >= 1 */
    uint64_t window_ns;      /* length of the sliding window, >= 1 */
    uint32_t window_orders;  /* at most this many orders in any window, 1..HFT_RISK_WINDOW_MAX */
    uint64_t window_notional; /* at most this much notional in any window, in the quote currency's smallest unit */
} hft_risk_limits;

#define HFT_RISK_WINDOW_MAX 1024

typedef struct {
    hft_risk_limits limits;
    uint64_t bucket_time;    /* the bucket as the time it was last full-equivalent (GCRA), ns */
    uint64_t cooldown_ns[HFT_RISK_RULES_MAX];
    uint64_t cooled_at[HFT_RISK_RULES_MAX]; /* rule may fire again from this time on, ns */
    struct { uint64_t time, notional; } window[HFT_RISK_WINDOW_MAX]; /* ring of accounted orders */
    uint32_t window_head, window_len;
    uint64_t window_sum;
    uint8_t killed;
} hft_risk;

/* Errors: HFT_E_ARGUMENT (a limit out of its range). */
HFT_NODISCARD int hft_risk_init(hft_risk *risk, const hft_risk_limits *limits);
HFT_NODISCARD int hft_risk_set_cooldown(hft_risk *risk, uint32_t rule, uint64_t cooldown_ns);
void hft_risk_kill(hft_risk *risk, int on);
/* 0 and the order is accounted, or HFT_E_RISK_* and nothing changed. now_ns is monotonic and never decreases.
 * The first order of a rule needs no cooldown. */
HFT_NODISCARD int hft_risk_check(hft_risk *risk, uint32_t rule, uint64_t notional, uint64_t now_ns);

#endif
