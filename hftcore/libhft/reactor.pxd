from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from hftcore.libhft.deflate cimport hft_deflate_params
from hftcore.libhft.order cimport hft_order_template, hft_order_value
from hftcore.libhft.status cimport hft_err
from hftcore.libhft.tls cimport hft_tls, hft_tls_context
from hftcore.libhft.ws cimport hft_ws_op
from hftcore.libhft.wsclient cimport hft_wsclient


cdef extern from "hft/ring.h" nogil:
    ctypedef enum hft_ring_backend:
        HFT_RING_AUTO
        HFT_RING_URING
        HFT_RING_EPOLL

    ctypedef struct hft_ring:
        hft_ring_backend backend
        uint8_t spins


cdef extern from "hft/reactor.h" nogil:
    enum:
        HFT_REACTOR_LINKS_MAX
        HFT_REACTOR_MESSAGE_MAX
        HFT_REACTOR_OPENED
        HFT_REACTOR_MESSAGE
        HFT_REACTOR_PONG
        HFT_REACTOR_WRITABLE
        HFT_REACTOR_CLOSED
        HFT_REACTOR_WOKEN

    ctypedef struct hft_reactor_event:
        uint8_t kind
        uint8_t op
        uint8_t app
        uint16_t close_code
        uint16_t http_status
        uint32_t link
        const uint8_t *data
        size_t len
        uint64_t recv_ns
        uint64_t kernel_ns
        uint64_t rtt_ns
        const hft_err *err

    ctypedef struct hft_link_config_ws:
        hft_tls_context *tls
        const char *host
        uint16_t port
        const char *host_header
        const char *target
        const char *headers
        const char *subprotocols
        const hft_deflate_params *deflate
        int deflate_level
        size_t deflate_min
        size_t message_max
        size_t recv_cap
        size_t send_cap
        uint64_t handshake_ns
        uint64_t ping_interval_ns
        uint64_t ping_timeout_ns
        uint64_t close_ns
        hft_order_template *app_ping
        uint8_t app_ping_op
        const uint8_t *app_ping_data
        size_t app_ping_len
        uint64_t app_ping_interval_ns
        const uint8_t *app_pong
        size_t app_pong_len
        uint8_t app_pong_hidden
        uint8_t kernel_stamps

    ctypedef struct hft_reactor_config:
        hft_ring_backend backend
        uint32_t links_max
        uint64_t spin_ns

    ctypedef struct hft_link_stats:
        uint64_t bytes_in
        uint64_t bytes_out
        uint64_t messages_in
        uint64_t messages_out
        uint64_t payload_in
        uint64_t payload_out
        uint64_t pings
        uint64_t pongs
        uint64_t rtt_last_ns
        uint64_t rtt_min_ns
        uint64_t rtt_smoothed_ns
        uint64_t app_pings
        uint64_t app_pongs
        uint64_t app_rtt_last_ns
        uint64_t app_rtt_min_ns
        uint64_t app_rtt_smoothed_ns
        uint64_t sends_refused
        uint64_t send_queue
        uint64_t opened_ns
        uint64_t last_recv_ns

    ctypedef struct hft_reactor_link:
        hft_wsclient session

    ctypedef struct hft_reactor:
        hft_ring ring
        hft_reactor_config config
        hft_reactor_link *links
        uint64_t now_ns

    int hft_reactor_open(hft_reactor *r, const hft_reactor_config *config, hft_err *err)
    void hft_reactor_close(hft_reactor *r)
    void hft_reactor_disown(hft_reactor *r)
    int hft_reactor_add(hft_reactor *r, uint32_t *link, const hft_link_config_ws *config, int fd, hft_err *err)
    int hft_reactor_next(hft_reactor *r, hft_reactor_event *event, uint64_t timeout_ns)
    int hft_reactor_next_ready(hft_reactor *r, hft_reactor_event *event)
    int hft_reactor_fd(const hft_reactor *r)
    int hft_reactor_prepare_sleep(hft_reactor *r, uint64_t *wait_ns)
    int hft_reactor_wake(hft_reactor *r)
    int hft_reactor_send(hft_reactor *r, uint32_t link, hft_ws_op op, const void *payload, size_t len)
    int hft_reactor_send_template(hft_reactor *r, uint32_t link, hft_order_template *t, const hft_order_value *values,
                                  int *bad_slot)
    int hft_reactor_ping(hft_reactor *r, uint32_t link)
    int hft_reactor_close_link(hft_reactor *r, uint32_t link, uint16_t code, const char *reason, size_t reason_len)
    int hft_reactor_pause(hft_reactor *r, uint32_t link, int on)
    const hft_tls *hft_reactor_tls(const hft_reactor *r, uint32_t link)
    void hft_reactor_stats(const hft_reactor *r, uint32_t link, hft_link_stats *stats)
