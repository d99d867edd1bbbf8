/* Order templates: literal text with typed slots, filled and signed in one pass. Pure; no allocation.
 *
 * A template is two texts over the same slots: the *message* that leaves on the wire, and the *signed text*
 * whose HMAC-SHA-256 goes into the message's signature slot. Both are built once from parts; filling copies
 * literals and formats values, so its cost is bounded by the template's length. The constant beginning of the
 * signed text is hashed at hft_order_seal(). The template holds a key: hft_order_wipe() when done. */
#ifndef HFT_ORDER_H
#define HFT_ORDER_H

#include "hft/hmac.h"
#include "hft/status.h"

#define HFT_ORDER_SLOTS_MAX 16
#define HFT_ORDER_PARTS_MAX 40
#define HFT_ORDER_LITERAL_MAX 1024 /* bytes of literals per text */
#define HFT_ORDER_NAME_MAX 23
#define HFT_ORDER_TEXT_MAX 64      /* longest text slot value */
#define HFT_ORDER_COPY_STEP 16     /* bytes copied at a time */
/* No fill is longer than this. */
#define HFT_ORDER_FILL_MAX (HFT_ORDER_LITERAL_MAX + HFT_ORDER_PARTS_MAX * HFT_ORDER_TEXT_MAX)

typedef enum {
    HFT_SLOT_UINT = 0,      /* u64, decimal */
    HFT_SLOT_DECIMAL = 1,   /* u64 scaled by 10^scale, all digits written */
    HFT_SLOT_TIMESTAMP = 2, /* u64 Unix nanoseconds, written in units of 10^scale ns (6 = ms, 3 = us) */
    HFT_SLOT_TEXT = 3,      /* 1..max_len bytes of [A-Za-z0-9_.-], so it needs no escape in JSON or a query string */
    HFT_SLOT_SIGNATURE_HEX = 4,    /* message only: 64 lower-case digits */
    HFT_SLOT_SIGNATURE_BASE64 = 5, /* message only: 44 characters */
} hft_order_slot_kind;

typedef struct {
    char name[HFT_ORDER_NAME_MAX + 1];
    uint8_t kind;    /* hft_order_slot_kind */
    uint8_t scale;   /* DECIMAL: digits behind the point; TIMESTAMP: power of ten */
    uint8_t max_len; /* TEXT: longest value */
} hft_order_slot;

typedef struct {
    uint64_t u64;     /* UINT, DECIMAL, TIMESTAMP */
    const char *text; /* TEXT: a view that need only live during the call */
    size_t text_len;  /* 0 = missing */
} hft_order_value;

typedef struct { uint16_t offset, len; uint8_t slot; } hft_order_part; /* slot 0xff: literal [offset, offset+len) */

typedef struct {
    hft_order_part parts[HFT_ORDER_PARTS_MAX];
    uint32_t n_parts, literal_len;
    char literal[HFT_ORDER_LITERAL_MAX + HFT_ORDER_COPY_STEP]; /* room to read whole steps */
} hft_order_text;

typedef struct {
    hft_order_slot slots[HFT_ORDER_SLOTS_MAX];
    uint32_t n_slots;
    hft_order_text message, signed_text;
    uint8_t sealed, has_signature;
    size_t message_max, signed_max; /* longest possible fill, set by seal */
    hft_hmac_key key;       /* SECRET */
    hft_hmac_prefix prefix; /* SECRET */
    uint32_t prefix_skip;   /* bytes of the first signed literal that the prefix holds */
} hft_order_template;

/* Building, in this order: init, add slots, put parts, seal. Errors: HFT_E_ORDER_TEMPLATE, HFT_E_ORDER_SLOT. */
void hft_order_init(hft_order_template *t);
/* Returns the slot's index. */
HFT_NODISCARD int hft_order_add_slot(hft_order_template *t, const char *name, hft_order_slot_kind kind,
                                     unsigned scale, unsigned max_len);
HFT_NODISCARD int hft_order_find_slot(const hft_order_template *t, const char *name, size_t name_len);
HFT_NODISCARD int hft_order_put_literal(hft_order_text *text, const char *literal, size_t len);
HFT_NODISCARD int hft_order_put_slot(hft_order_template *t, hft_order_text *text, int slot);
/* Checks the parts, takes the key (NULL, 0 if the message has no signature slot) and computes the maxima. */
HFT_NODISCARD int hft_order_seal(hft_order_template *t, const void *secret, size_t secret_len);

/* Fills the message into out and signs it; values[] is indexed by slot, signature slots are ignored.
 * Returns its length (<= t->message_max; cap must be at least that). Errors: HFT_E_STATE (not sealed),
 * HFT_E_CAPACITY, HFT_E_ORDER_SLOT/VALUE/CHARSET; *bad_slot (may be NULL) then names the slot by index. */
HFT_NODISCARD int hft_order_fill(const hft_order_template *t, void *out, size_t cap,
                                 const hft_order_value *values, int *bad_slot);
/* The text that is signed for these values: for self-tests. Returns its length; cap >= t->signed_max. */
HFT_NODISCARD int hft_order_fill_signed_text(const hft_order_template *t, void *out, size_t cap,
                                             const hft_order_value *values, int *bad_slot);

/* Wipes the key and the prefix. */
void hft_order_wipe(hft_order_template *t);

#endif
