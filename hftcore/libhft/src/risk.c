#include "hft/risk.h"

#include <string.h>

/* Keeps every sum of a time and a limit within 64 bits: 146 years. */
#define TIME_MAX (UINT64_MAX / 4)

int hft_risk_init(hft_risk *risk, const hft_risk_limits *limits) {
    if (limits->burst < 1 || limits->refill_ns < 1 || limits->window_ns < 1 || limits->window_ns > TIME_MAX ||
        limits->window_orders < 1 || limits->window_orders > HFT_RISK_WINDOW_MAX ||
        limits->refill_ns > TIME_MAX / limits->burst)
        return HFT_E_ARGUMENT;
    memset(risk, 0, sizeof *risk);
    risk->limits = *limits;
    return HFT_OK;
}

int hft_risk_set_cooldown(hft_risk *risk, uint32_t rule, uint64_t cooldown_ns) {
    if (rule >= HFT_RISK_RULES_MAX || cooldown_ns > TIME_MAX) return HFT_E_ARGUMENT;
    risk->cooldown_ns[rule] = cooldown_ns;
    return HFT_OK;
}

void hft_risk_kill(hft_risk *risk, int on) { risk->killed = on != 0; }

/* An order counts until it is a whole window old. */
static void expire(hft_risk *risk, uint64_t now_ns) {
    while (risk->window_len != 0) {
        uint64_t time = risk->window[risk->window_head].time;
        if (now_ns < time || now_ns - time < risk->limits.window_ns) return;
        risk->window_sum -= risk->window[risk->window_head].notional;
        risk->window_head = (risk->window_head + 1) % HFT_RISK_WINDOW_MAX;
        risk->window_len--;
    }
}

int hft_risk_check(hft_risk *risk, uint32_t rule, uint64_t notional, uint64_t now_ns) {
    const hft_risk_limits *limits = &risk->limits;
    if (rule >= HFT_RISK_RULES_MAX || now_ns > TIME_MAX) return HFT_E_ARGUMENT;
    if (risk->killed) return HFT_E_RISK_KILLED;
    /* The bucket is full at bucket_time; each token missing now is refill_ns of that time still ahead. */
    if (risk->bucket_time > now_ns + (limits->burst - 1) * limits->refill_ns) return HFT_E_RISK_RATE;
    if (now_ns < risk->cooled_at[rule]) return HFT_E_RISK_COOLDOWN;
    expire(risk, now_ns);
    if (risk->window_len >= limits->window_orders) return HFT_E_RISK_ORDERS;
    if (notional > limits->window_notional || risk->window_sum > limits->window_notional - notional)
        return HFT_E_RISK_NOTIONAL;

    risk->bucket_time = (risk->bucket_time > now_ns ? risk->bucket_time : now_ns) + limits->refill_ns;
    risk->cooled_at[rule] = now_ns + risk->cooldown_ns[rule];
    uint32_t slot = (risk->window_head + risk->window_len) % HFT_RISK_WINDOW_MAX;
    risk->window[slot].time = now_ns;
    risk->window[slot].notional = notional;
    risk->window_len++;
    risk->window_sum += notional;
    return HFT_OK;
}
