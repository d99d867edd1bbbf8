/* Addresses as text and as scripts: what is accepted is written back as the same text, and belongs to one network. */
#include <stdlib.h>
#include <string.h>

#include <hft/address.h>

static const hft_address_net nets[] = {{0x00, 0x05, 2, "bc"}, {0x6f, 0xc4, 2, "tb"}, {0x6f, 0xc4, 4, "bcrt"}};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static void check_text(const char *text, size_t len, const hft_address_net *net) {
    uint8_t *script = malloc(HFT_ADDRESS_SCRIPT_MAX);
    hft_address_fault fault;
    if (script == NULL) abort();
    int rc = hft_address_decode(script, &fault, net, text, len);
    if (rc < 0) {
        if (fault.why == HFT_ADDRESS_OK || fault.why > HFT_ADDRESS_OTHER_HRP) abort();
        if (fault.pos != 0 && fault.pos >= len) abort();
        if (fault.why == HFT_ADDRESS_OTHER_HRP && fault.value >= len) abort();
    } else {
        char *again = malloc(HFT_ADDRESS_MAX);
        if (again == NULL || fault.why != HFT_ADDRESS_OK || rc < 4 || rc > HFT_ADDRESS_SCRIPT_MAX) abort();
        int is_segwit = script[0] == 0 || (script[0] >= 0x51 && script[0] <= 0x60);
        if (hft_address_encode(again, net, script, (size_t)rc) != (int)len) abort();
        for (size_t i = 0; i < len; i++)
            if (again[i] != (is_segwit ? lower(text[i]) : text[i])) abort();
        free(again);
    }
    free(script);
}

static void check_script(const uint8_t *script, size_t len, const hft_address_net *net) {
    char *text = malloc(HFT_ADDRESS_MAX);
    uint8_t back[HFT_ADDRESS_SCRIPT_MAX];
    hft_address_fault fault;
    if (text == NULL) abort();
    int n = hft_address_encode(text, net, script, len);
    if (n < 0 || n > HFT_ADDRESS_MAX) abort();
    if (n != 0 && hft_address_decode(back, &fault, net, text, (size_t)n) != (int)len) abort();
    if (n != 0 && memcmp(back, script, len) != 0) abort();
    free(text);
}

/* Any bytes go through base58 and back. */
static void check_base58(const uint8_t *data, size_t len) {
    size_t cap = 2 * len + 1;
    char *text = malloc(cap);
    uint8_t *back = malloc(len + 1);
    hft_address_fault fault;
    if (text == NULL || back == NULL) abort();
    int n = hft_base58_encode(text, cap, data, len);
    if (n < (int)len || hft_base58_decode(back, len, &fault, text, (size_t)n) != (int)len) abort();
    if (memcmp(back, data, len) != 0) abort();
    free(back);
    free(text);
}

static void check_bech32(const uint8_t *data, size_t len) {
    char text[HFT_ADDRESS_MAX];
    hft_bech32 parts;
    hft_address_fault fault;
    int n = hft_bech32_encode(text, "bc", 2, data, len, (int)len & 1);
    if (n < 0) return;
    if (hft_bech32_decode(&parts, &fault, text, (size_t)n) != 0 || parts.n_values != len || parts.hrp_len != 2) abort();
    for (size_t i = 0; i < len; i++)
        if (parts.values[i] != (data[i] & 31)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 256) return 0;
    char *copy = malloc(size + 1); /* ends where its memory ends */
    if (copy == NULL) abort();
    memcpy(copy + 1, data, size);
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        check_text(copy + 1, size, &nets[i]);
        check_script((const uint8_t *)copy + 1, size, &nets[i]);
    }
    check_base58(data, size);
    check_bech32(data, size);
    free(copy);
    return 0;
}
