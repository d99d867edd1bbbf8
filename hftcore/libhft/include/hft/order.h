/* Order templates: literal text with typed slots, filled and signed. Pure; no allocation.
 *
 * A template is two texts over the same slots: the *message* that leaves on the wire, and the *signed text* whose
 * HMAC-SHA-256 goes into the message's signature slot. The template keeps both as last filled, the signed one with
 * SHA-256's padding behind it, so that a fill only rewrites the values that changed, where they stand; only a value
 * that is longer or shorter than before moves the text behind it. Whole blocks of the constant beginning of the signed
 * text are hashed once, at hft_order_seal(). The template holds a key: hft_order_wipe() when done.
 *
 * A fill writes to the template: one thread at a time. */
#ifndef HFT_ORDER_H
#define HFT_ORDER_H

#include "hft/hmac.h"
#include "hft/status.h"
#include "hft/text.h"

#define HFT_ORDER_SLOTS_MAX 16
#define HFT_ORDER_PARTS_MAX 40
#define HFT_ORDER_LITERAL_MAX 1024 /* bytes of literals per text */
#define HFT_ORDER_NAME_MAX 23
#define HFT_ORDER_TEXT_MAX 64      /* longest value */
#define HFT_ORDER_COPY_STEP 16     /* bytes copied at a time */
/* No fill is longer than this. */
#define HFT_ORDER_FILL_MAX (HFT_ORDER_LITERAL_MAX + HFT_ORDER_PARTS_MAX * HFT_ORDER_TEXT_MAX)
#define HFT_ORDER_PADDING_MAX 128  /* of SHA-256, behind the signed text */

typedef enum {
    HFT_SLOT_UINT = 0,             /* u64, decimal */
    HFT_SLOT_DECIMAL = 1,          /* u64 scaled by 10^scale, all digits written: "0.50" */
    HFT_SLOT_DECIMAL_TRIMMED = 2,  /* the same without zeros at the end of the fraction: "0.5" */
    HFT_SLOT_TIMESTAMP = 3,        /* u64 Unix nanoseconds, written in units of 10^scale ns (6 = ms, 3 = us) */
    HFT_SLOT_RFC3339 = 4,          /* the same as "2021-02-21T06:16:16.532Z", to 10^scale ns */
    HFT_SLOT_TEXT = 5,             /* 1..max_len of the allowed bytes */
    HFT_SLOT_SIGNATURE_HEX = 6,    /* message only: 64 lower-case digits */
    HFT_SLOT_SIGNATURE_BASE64 = 7, /* message only: 44 characters */
} hft_order_slot_kind;

typedef struct {
    char name[HFT_ORDER_NAME_MAX + 1];
    uint8_t kind;              /* hft_order_slot_kind */
    uint8_t scale;             /* DECIMAL*: digits behind the point; TIMESTAMP, RFC3339: power of ten */
    uint8_t max_len;           /* TEXT: longest value */
    uint8_t of;                /* an echo: index of the slot whose value it takes; of a slot with its own, itself */
    hft_charset allowed;       /* TEXT */
} hft_order_slot;

typedef struct {
    uint64_t u64;     /* UINT, DECIMAL*, TIMESTAMP, RFC3339 */
    const char *text; /* TEXT: a view that need only live during the call */
    size_t text_len;  /* 0 = missing */
} hft_order_value;

typedef struct { uint16_t offset, len; uint8_t slot; } hft_order_part; /* slot 0xff: literal [offset, offset+len) */
typedef struct { uint16_t offset; uint8_t slot; } hft_order_field;     /* where a slot stands in the image */
typedef struct { uint8_t len; char text[HFT_ORDER_TEXT_MAX]; } hft_order_formatted;

typedef struct {
    hft_order_part parts[HFT_ORDER_PARTS_MAX];
    hft_order_field fields[HFT_ORDER_PARTS_MAX];
    uint32_t n_parts, n_fields, literal_len;
    uint32_t len; /* of the text as last filled */
    char literal[HFT_ORDER_LITERAL_MAX + HFT_ORDER_COPY_STEP]; /* room to read whole steps */
    char image[HFT_ORDER_FILL_MAX + HFT_ORDER_PADDING_MAX];    /* the text as last filled */
} hft_order_text;

typedef struct {
    hft_order_slot slots[HFT_ORDER_SLOTS_MAX];
    uint32_t n_slots;
    uint8_t sealed, has_signature;
    uint8_t laid_out;              /* the images show the values in `last` and `formatted` */
    uint8_t signature_kind;
    uint16_t signature_offset;     /* in the message's image */
    uint32_t n_signed_blocks;      /* of the signed text with its padding, behind what the prefix holds */
    size_t message_max;            /* longest possible message, set by seal */
    hft_hmac_key key;              /* SECRET */
    hft_hmac_prefix prefix;        /* SECRET: prefix.len bytes of the signed text are hashed */
    uint64_t last[HFT_ORDER_SLOTS_MAX];
    hft_order_formatted formatted[HFT_ORDER_SLOTS_MAX];
    hft_order_text message, signed_text;
} hft_order_template;

/* A-Z a-z 0-9 _ . -: what needs no escape in JSON or in a query string. */
extern const hft_charset hft_order_plain;

/* Building, in this order: init, add slots, put parts, seal. Errors: HFT_E_ORDER_TEMPLATE, HFT_E_ORDER_SLOT. */
void hft_order_init(hft_order_template *t);
/* Adds a copy of *slot and returns its index. of: the index it will have, or of a slot of the same type of value that
 * was added before. An allowed set may not have quotes, backslashes and control characters, so that a value is never
 * more than text in JSON. */
HFT_NODISCARD int hft_order_add_slot(hft_order_template *t, const hft_order_slot *slot);
HFT_NODISCARD int hft_order_find_slot(const hft_order_template *t, const char *name, size_t name_len);
HFT_NODISCARD int hft_order_put_literal(hft_order_text *text, const char *literal, size_t len);
HFT_NODISCARD int hft_order_put_slot(hft_order_template *t, hft_order_text *text, int slot);
/* Checks the parts, takes the key (NULL, 0 if the message has no signature slot) and computes message_max. */
HFT_NODISCARD int hft_order_seal(hft_order_template *t, const void *secret, size_t secret_len);

/* Fills both texts and signs; values[] is indexed by slot, those of signatures and echoes are ignored. Returns the
 * length of the message, which stands in t->message.image, the signed text in t->signed_text.image, until the next
 * fill. Errors: HFT_E_STATE (not sealed), HFT_E_ORDER_SLOT/VALUE/CHARSET; *bad_slot (may be NULL) then names the
 * slot by index. */
HFT_NODISCARD int hft_order_fill(hft_order_template *t, const hft_order_value *values, int *bad_slot);

/* Wipes all that was derived from the key, and the texts. */
void hft_order_wipe(hft_order_template *t);

#endif
