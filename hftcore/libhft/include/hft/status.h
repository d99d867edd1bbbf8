/* Status codes: one int says how every fallible function ended.
 *
 *   >= 0          a result (often 0, 1 = "an event is ready", or a length)
 *   -1 .. -4095   a negated errno of the operating system
 *   <= -10000     one of HFT_E_*, a block of 1000 for each module
 *
 * hftcore/errors.py maps each code to a Python exception; a test holds the two lists together. */
#ifndef HFT_STATUS_H
#define HFT_STATUS_H

#include <stddef.h>
#include <stdint.h>

#define HFT_NODISCARD __attribute__((warn_unused_result))

/* X(name, value, text): text says what was wrong, in words a user can act on. */
#define HFT_STATUS_LIST(X)                                                                                  \
    /* general */                                                                                           \
    X(HFT_E_ARGUMENT, -10000, "argument out of range")                                                      \
    X(HFT_E_STATE, -10001, "not possible in the present state")                                             \
    X(HFT_E_CAPACITY, -10002, "output buffer too small")                                                    \
    X(HFT_E_MEMORY, -10003, "out of memory")                                                                \
    X(HFT_E_QUEUE_FULL, -10004, "queue full")                                                               \
    X(HFT_E_TIMEOUT, -10005, "timed out")                                                                   \
    X(HFT_E_SELF_TEST, -10006, "self-test failed")                                                          \
    X(HFT_E_CPU_LEVEL, -10007, "this CPU lacks the requested level")                                        \
    /* text */                                                                                              \
    X(HFT_E_TEXT_DIGIT, -11000, "not a valid digit")                                                        \
    X(HFT_E_TEXT_LENGTH, -11001, "text has a wrong length")                                                 \
    X(HFT_E_TEXT_OVERFLOW, -11002, "number too large")                                                      \
    X(HFT_E_TEXT_PRECISION, -11003, "more decimal digits than the scale holds")                             \
    X(HFT_E_TEXT_UTF8, -11004, "text is not UTF-8")                                                         \
    /* json */                                                                                              \
    X(HFT_E_JSON_SYNTAX, -12000, "invalid JSON")                                                            \
    X(HFT_E_JSON_DEPTH, -12001, "JSON nested too deeply")                                                   \
    X(HFT_E_JSON_PATH, -12002, "invalid JSON path")                                                         \
    /* http1 */                                                                                             \
    X(HFT_E_HTTP_SYNTAX, -13000, "malformed HTTP head")                                                     \
    X(HFT_E_HTTP_TOO_LARGE, -13001, "HTTP head too large")                                                  \
    X(HFT_E_HTTP_STATUS, -13002, "server refused the WebSocket upgrade")                                    \
    X(HFT_E_HTTP_UPGRADE, -13003, "Upgrade or Connection header missing or wrong")                          \
    X(HFT_E_HTTP_ACCEPT, -13004, "Sec-WebSocket-Accept does not match the key")                             \
    X(HFT_E_HTTP_EXTENSION, -13005, "server chose an extension or subprotocol that was not offered")        \
    /* ws */                                                                                                \
    X(HFT_E_WS_OPCODE, -14000, "reserved WebSocket opcode")                                                 \
    X(HFT_E_WS_RESERVED, -14001, "reserved WebSocket bit set")                                              \
    X(HFT_E_WS_LENGTH, -14002, "WebSocket length not minimally encoded")                                    \
    X(HFT_E_WS_CONTROL, -14003, "WebSocket control frame fragmented or too long")                           \
    X(HFT_E_WS_MASK, -14004, "WebSocket frame masked or unmasked against the rules")                        \
    X(HFT_E_WS_CONTINUATION, -14005, "WebSocket continuation out of order")                                 \
    X(HFT_E_WS_TOO_LARGE, -14006, "WebSocket message over the limit")                                       \
    X(HFT_E_WS_UTF8, -14007, "WebSocket text is not UTF-8")                                                 \
    X(HFT_E_WS_CLOSE_CODE, -14008, "invalid WebSocket close code")                                          \
    X(HFT_E_WS_DEFLATE, -14009, "compressed WebSocket message does not decompress")                         \
    /* order */                                                                                             \
    X(HFT_E_ORDER_SLOT, -15000, "order template slot unknown or missing")                                   \
    X(HFT_E_ORDER_VALUE, -15001, "order value does not fit its slot")                                       \
    X(HFT_E_ORDER_CHARSET, -15002, "order text holds a character its slot forbids")                         \
    X(HFT_E_ORDER_TEMPLATE, -15003, "order template malformed or too large")                                \
    /* btc */                                                                                               \
    X(HFT_E_BTC_MAGIC, -16000, "wrong network magic")                                                       \
    X(HFT_E_BTC_CHECKSUM, -16001, "message checksum wrong")                                                 \
    X(HFT_E_BTC_TOO_LARGE, -16002, "message over the length limit")                                         \
    X(HFT_E_BTC_COMMAND, -16003, "message command malformed")                                               \
    X(HFT_E_BTC_TRUNCATED, -16004, "data ends too early")                                                   \
    X(HFT_E_BTC_COMPACT_SIZE, -16005, "CompactSize not canonical or too large")                             \
    X(HFT_E_BTC_TRAILING, -16006, "bytes left after the end")                                               \
    X(HFT_E_BTC_TX, -16007, "malformed transaction")                                                        \
    X(HFT_E_BTC_AMOUNT, -16008, "amount over 21 million bitcoin")                                           \
    X(HFT_E_BTC_COUNT, -16009, "more entries than the protocol allows")                                     \
    X(HFT_E_BTC_HANDSHAKE, -16010, "message out of order in the handshake")                                 \
    X(HFT_E_BTC_VERSION, -16011, "peer's protocol version too old")                                         \
    X(HFT_E_BTC_SELF, -16012, "connected to ourselves")                                                     \
    X(HFT_E_BTC_NO_RELAY, -16013, "peer does not serve what is needed")                                     \
    X(HFT_E_BTC_ADDRESS, -16014, "invalid address")                                                         \
    X(HFT_E_BTC_ADDRESS_CHECKSUM, -16015, "address checksum wrong")                                         \
    X(HFT_E_BTC_ADDRESS_NETWORK, -16016, "address belongs to another network")                              \
    X(HFT_E_BTC_REPEATED, -16017, "transactions repeat: other ones have the same merkle root")              \
    X(HFT_E_BTC_NET_ADDRESS, -16018, "address of a node not of its network's length")                       \
    /* watch */                                                                                             \
    X(HFT_E_WATCH_FULL, -17000, "watch table full")                                                         \
    X(HFT_E_WATCH_SCRIPT, -17001, "script empty or too long to watch")                                      \
    X(HFT_E_WATCH_CONFLICT, -17002, "script already watched under another label")                           \
    X(HFT_E_WATCH_FORMAT, -17003, "not a watch table, or one of another version")                           \
    X(HFT_E_WATCH_DAMAGED, -17004, "watch table is damaged")                                                \
    /* risk: why an order was refused */                                                                    \
    X(HFT_E_RISK_KILLED, -18000, "kill switch is on")                                                       \
    X(HFT_E_RISK_RATE, -18001, "order rate limit reached")                                                  \
    X(HFT_E_RISK_COOLDOWN, -18002, "rule is cooling down")                                                  \
    X(HFT_E_RISK_ORDERS, -18003, "maximum orders per window reached")                                       \
    X(HFT_E_RISK_NOTIONAL, -18004, "maximum notional per window reached")                                   \
    /* ring */                                                                                              \
    X(HFT_E_RING_UNAVAILABLE, -19000, "io_uring is not available")                                          \
    X(HFT_E_RING_FULL, -19001, "submission queue full")                                                     \
    /* tls */                                                                                               \
    X(HFT_E_TLS_PROTOCOL, -20000, "TLS protocol error")                                                     \
    X(HFT_E_TLS_UNKNOWN_CA, -20001, "certificate issued by an unknown authority")                           \
    X(HFT_E_TLS_SELF_SIGNED, -20002, "certificate is self-signed")                                          \
    X(HFT_E_TLS_EXPIRED, -20003, "certificate has expired")                                                 \
    X(HFT_E_TLS_NOT_YET_VALID, -20004, "certificate is not yet valid")                                      \
    X(HFT_E_TLS_HOSTNAME, -20005, "certificate does not name this host")                                    \
    X(HFT_E_TLS_VERIFY, -20006, "certificate refused")                                                      \
    X(HFT_E_TLS_TRUNCATED, -20007, "connection closed without TLS close_notify")                            \
    X(HFT_E_TLS_CONFIG, -20008, "TLS configuration wrong")                                                  \
    X(HFT_E_TLS_PIN, -20009, "certificate's key is not a pinned one")                                       \
    X(HFT_E_TLS_VERSION, -20010, "no TLS version in common")                                                \
    X(HFT_E_TLS_CLIENT_CERT, -20011, "client certificate missing or refused")                               \
    X(HFT_E_TLS_ALPN, -20012, "no application protocol in common")                                          \
    X(HFT_E_TLS_NOT_TLS, -20013, "peer does not speak TLS")                                                 \
    /* conn */                                                                                              \
    X(HFT_E_CONN_CLOSED, -21000, "peer closed the connection")                                              \
    X(HFT_E_CONN_RECV_FULL, -21001, "receive buffer too small for the message")                             \
    X(HFT_E_CONN_SEND_FULL, -21002, "send buffer full: peer does not read")                                 \
    X(HFT_E_CONN_CONNECT_TIMEOUT, -21003, "connecting took too long")                                       \
    X(HFT_E_CONN_HANDSHAKE_TIMEOUT, -21004, "handshake took too long")                                      \
    X(HFT_E_CONN_IDLE_TIMEOUT, -21005, "peer fell silent")                                                  \
    X(HFT_E_CONN_RESOLVE, -21006, "host name could not be resolved")                                        \
    X(HFT_E_CONN_STOPPED, -21007, "stopped by us")                                                          \
    X(HFT_E_CONN_REPLACED, -21008, "left for another peer")                                                 \
    X(HFT_E_CONN_PROXY, -21009, "proxy did not connect")                                                    \
    /* engine: why an order was refused, or how a venue failed */                                           \
    X(HFT_E_ENGINE_NOT_READY, -22000, "venue is not ready")                                                 \
    X(HFT_E_ENGINE_EVENTS_FULL, -22001, "event queue full: events are not being read")                      \
    X(HFT_E_ENGINE_PENDING_FULL, -22002, "too many orders without an answer")                               \
    X(HFT_E_ENGINE_REPLY, -22003, "venue's reply was not understood")                                       \
    X(HFT_E_ENGINE_DUPLICATE, -22004, "order for this signal was already sent")                             \
    X(HFT_E_ENGINE_UNKNOWN, -22005, "outcome unknown: connection lost or no answer in time")                \
    X(HFT_E_ENGINE_HOLD, -22006, "venue asked us to wait")                                                  \
    X(HFT_E_ENGINE_REPLACEMENT, -22007, "the transaction that this one replaces was ordered for")           \
    X(HFT_E_ENGINE_TOO_FEW_PEERS, -22008, "not announced by enough peers in time")                          \
    X(HFT_E_ENGINE_WAITING_FULL, -22009, "too many transactions wait for more peers")

#define HFT_STATUS_ENUM(name, value, text) name = (value),
enum hft_status { HFT_OK = 0, HFT_STATUS_LIST(HFT_STATUS_ENUM) };
#undef HFT_STATUS_ENUM

/* The cold detail of a failure, kept in the struct that failed. */
typedef struct {
    int code;      /* the status, 0 = none */
    uint32_t pos;  /* byte offset in the input where it was found, 0 where that means nothing */
    char text[256]; /* what happened, NUL-terminated; may be empty */
} hft_err;

/* The HFT_E_* name of `code`, "OK" for >= 0, "ERRNO" for -1..-4095, NULL if unknown. Static storage. */
const char *hft_status_name(int code);

/* The text of an HFT_E_* code, "" for any other. Static storage. */
const char *hft_status_text(int code);

/* The i-th code of the list (0-based), or 0 past its end: lets a test walk the whole list. */
int hft_status_at(size_t i);

/* Fills *err (which may be NULL) and returns code, so that a failure reads `return hft_fail(...)`.
 * `text` may be NULL; it is cut at 255 bytes. */
int hft_fail(hft_err *err, int code, size_t pos, const char *text);

#endif
