/* Orders signed ahead of time: a ring of messages for the coming steps of the clock. Pure; no allocation.
 *
 * A signature covers the timestamp and the client order id of a message, and neither needs to wait for the event that
 * the order answers. While there is nothing else to do, hft_presign_refresh() signs a message for each of the next
 * steps; when it matters, hft_presign_take() gives the newest whose time has come, once. What that costs: the client
 * order id is a serial number and not derived from the event, and the timestamp may be some steps old. */
#ifndef HFT_PRESIGN_H
#define HFT_PRESIGN_H

#include "hft/order.h"

#define HFT_PRESIGN_COUNT_MIN 4
#define HFT_PRESIGN_COUNT_MAX 64
#define HFT_PRESIGN_SERIAL_LEN 8 /* hex digits that end a client order id */

typedef struct {
    hft_order_template *order;  /* the caller's; fills of other messages may come between */
    int timestamp_slot, id_slot;
    const hft_order_value *values; /* of the other slots, by index; copied, but not what texts point to */
    const char *id_prefix;      /* copied; a serial number is put behind it */
    size_t id_prefix_len;
    uint32_t count;             /* messages: HFT_PRESIGN_COUNT_MIN.._MAX; a quarter of the ring lies in the past */
    uint64_t step_ns;           /* between their timestamps */
    uint64_t window_ns;         /* an older timestamp is of no use any more; at least one step */
} hft_presign_config;

typedef struct { uint64_t step; uint32_t serial; uint32_t len; } hft_presign_entry; /* step 0 = to be signed */

typedef struct {
    hft_presign_config config;
    hft_order_value values[HFT_ORDER_SLOTS_MAX];
    hft_presign_entry entries[HFT_PRESIGN_COUNT_MAX]; /* a step's place is its number modulo count */
    uint64_t complete_step;     /* while it lasts, there is nothing to sign; 0 = none */
    uint32_t last_serial;
    uint8_t *messages;
    size_t stride;
    char id[HFT_ORDER_TEXT_MAX];
} hft_presign; /* points into itself: it must stay where it was initialised */

typedef struct {
    const char *message, *id; /* views until the next call */
    size_t message_len, id_len;
    uint64_t timestamp_ns;
} hft_presigned;

/* Bytes of memory that hft_presign_init wants. */
size_t hft_presign_size(const hft_order_template *order, uint32_t count);
/* memory: the caller's, for as long as *p lives; it will hold signed messages, so wipe it when done.
 * Errors: HFT_E_ARGUMENT (count, step, window), HFT_E_ORDER_SLOT (no such slots of the right kind), HFT_E_ORDER_VALUE
 * (prefix and serial number are too long), HFT_E_STATE (not sealed). */
HFT_NODISCARD int hft_presign_init(hft_presign *p, const hft_presign_config *config, void *memory);

/* Signs at most one message, the one needed first. now_ns: the clock that the timestamps are in. Returns 1 = signed
 * one, 0 = all are there, < 0 = what hft_order_fill says. */
HFT_NODISCARD int hft_presign_refresh(hft_presign *p, uint64_t now_ns, int *bad_slot);
/* Takes the newest message that is not from the future and not older than the window. 0 = there is none. */
int hft_presign_take(hft_presign *p, hft_presigned *out, uint64_t now_ns);

#endif
