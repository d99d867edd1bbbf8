from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hftcore.libhft.text cimport hft_charset


cdef extern from "hft/order.h" nogil:
    enum:
        HFT_ORDER_SLOTS_MAX
        HFT_ORDER_PARTS_MAX
        HFT_ORDER_LITERAL_MAX
        HFT_ORDER_TEXT_MAX
        HFT_ORDER_NAME_MAX

    enum:
        HFT_SLOT_UINT
        HFT_SLOT_DECIMAL
        HFT_SLOT_DECIMAL_TRIMMED
        HFT_SLOT_TIMESTAMP
        HFT_SLOT_RFC3339
        HFT_SLOT_TEXT
        HFT_SLOT_SIGNATURE_HEX
        HFT_SLOT_SIGNATURE_BASE64

    ctypedef struct hft_order_slot:
        char *name
        uint8_t kind
        uint8_t scale
        uint8_t max_len
        uint8_t of
        hft_charset allowed

    ctypedef struct hft_order_value:
        uint64_t u64
        const char *text
        size_t text_len

    ctypedef struct hft_order_text:
        uint32_t n_parts
        uint32_t literal_len
        uint32_t len
        char *image

    ctypedef struct hft_order_template:
        hft_order_slot *slots
        uint32_t n_slots
        uint8_t has_signature
        size_t message_max
        hft_order_text message
        hft_order_text signed_text

    const hft_charset hft_order_plain

    void hft_order_init(hft_order_template *t)
    int hft_order_add_slot(hft_order_template *t, const hft_order_slot *slot)
    int hft_order_find_slot(const hft_order_template *t, const char *name, size_t name_len)
    int hft_order_put_literal(hft_order_text *text, const char *literal, size_t len)
    int hft_order_put_slot(hft_order_template *t, hft_order_text *text, int slot)
    int hft_order_seal(hft_order_template *t, const void *secret, size_t secret_len)
    int hft_order_fill(hft_order_template *t, const hft_order_value *values, int *bad_slot)
    void hft_order_wipe(hft_order_template *t)
