/* permessage-deflate (RFC 7692): what is offered, what was agreed, and messages compressed and decompressed by zlib.
 *
 * All memory is one mapping, taken when opened: zlib is given its own from there and none after. */
#ifndef HFT_DEFLATE_H
#define HFT_DEFLATE_H

#include "hft/status.h"
#include "hft/ws.h"

#define HFT_DEFLATE_VALUE_MAX 129 /* the longest value of the header that is written here, its NUL included */

/* Section 7.1. Bits: base-two logarithm of the window, 8 to 15; 0 = absent, in what is agreed never. */
typedef struct {
    uint8_t client_no_context_takeover, server_no_context_takeover; /* each message begins with an empty window */
    uint8_t client_max_window_bits, server_max_window_bits;
} hft_deflate_params;

/* ---- negotiation: values of Sec-WebSocket-Extensions ---- */

/* Client: writes the offer, with a NUL, and returns its length. client_max_window_bits of 15 is written without a
 * value: the server may choose. Errors: HFT_E_CAPACITY, HFT_E_ARGUMENT (bits). */
HFT_NODISCARD int hft_deflate_offer(char *out, size_t cap, const hft_deflate_params *wanted);

/* Client: takes the server's answer to that offer. HFT_E_HTTP_EXTENSION, *err (may be NULL) saying why, unless it is
 * permessage-deflate alone, with known parameters, each once and with a lawful value, that grant what was offered:
 * server_no_context_takeover if it was, server_max_window_bits up to the offered ones, client_max_window_bits only if
 * and up to what was. */
HFT_NODISCARD int hft_deflate_agree(hft_deflate_params *agreed, const hft_deflate_params *offered, const char *value,
                                    size_t len, hft_err *err);

/* Server: chooses the first offer that is lawful and writes the answer, with a NUL; `own` says what the server wants
 * beyond the offer, where a client must allow it (bits: at most so many). Returns its length; 0 = nothing to agree on,
 * *agreed is not set. Errors: HFT_E_HTTP_SYNTAX for a malformed list, HFT_E_CAPACITY, HFT_E_ARGUMENT (bits). */
HFT_NODISCARD int hft_deflate_answer(char *out, size_t cap, hft_deflate_params *agreed, const hft_deflate_params *own,
                                     const char *offers, size_t len);

/* ---- messages ---- */

typedef struct hft_deflate hft_deflate;

/* level: 1 (fast) to 9 (small), 0 = stored. With windows of 8 bits, which zlib's compressor has not, only runs of one
 * byte are compressed. Errors: HFT_E_ARGUMENT, HFT_E_MEMORY, -errno. */
HFT_NODISCARD int hft_deflate_open(hft_deflate **deflate, const hft_deflate_params *agreed, hft_ws_role role, int level,
                                   hft_err *err);
/* Wipes and gives back the memory. NULL is allowed. */
void hft_deflate_close(hft_deflate *deflate);
/* Bytes of memory that it holds, from open to close. */
size_t hft_deflate_size(const hft_deflate *deflate);

/* A whole message, the payloads of its frames put together. Writes no more than cap bytes, so that cap is the limit on
 * messages. Errors, after which it stays failed: HFT_E_WS_TOO_LARGE, HFT_E_WS_DEFLATE (not DEFLATE data, or not the
 * whole of a message). Blocks with BFINAL are taken; no bytes at all are an empty message. */
HFT_NODISCARD int hft_deflate_decompress(hft_deflate *deflate, uint8_t *out, size_t cap, size_t *out_len,
                                         const uint8_t *in, size_t len);

/* The payload of a message, to be sent with RSV1 and in this order. Errors: HFT_E_CAPACITY, never with cap of
 * hft_deflate_bound: nothing may be sent of this message compressed, and the next one is compressed without the
 * context of those before; HFT_E_WS_TOO_LARGE for 4 GiB. */
HFT_NODISCARD int hft_deflate_compress(hft_deflate *deflate, uint8_t *out, size_t cap, size_t *out_len,
                                       const uint8_t *in, size_t len);
size_t hft_deflate_bound(hft_deflate *deflate, size_t len);

#endif
