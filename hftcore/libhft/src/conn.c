#include "hft/conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int hft_conn_init(hft_conn *conn, const hft_conn_config *config, hft_err *err) {
    memset(conn, 0, sizeof *conn);
    conn->ring = config->ring;
    conn->slot = config->slot;
    conn->fd = -1;
    if (config->recv_cap < HFT_CONN_RECV_MIN || config->send_cap < HFT_CONN_RECV_MIN)
        return hft_fail(err, HFT_E_ARGUMENT, 0, "connection buffers under 4096 bytes");
    conn->recv = (hft_buffer){.data = config->recv_memory, .cap = config->recv_cap};
    conn->send = (hft_buffer){.data = config->send_memory, .cap = config->send_cap};
    if (config->tls_context == NULL) return 0;
    conn->use_tls = 1;
    conn->plain = (hft_buffer){.data = config->plain_memory, .cap = config->plain_cap};
    conn->scratch = config->scratch_memory;
    conn->scratch_cap = HFT_CONN_PLAIN_MAX;
    return hft_tls_open(&conn->tls, config->tls_context, config->host, err);
}

void hft_conn_free(hft_conn *conn) {
    if (conn->use_tls) hft_tls_close(&conn->tls);
}

/* ---- buffers ---- */

static void buffer_reset(hft_buffer *b) { b->head = b->tail = 0; }

/* Makes at least `room` bytes free behind tail if that is possible by moving; only while the kernel does not hold
 * it. */
static size_t buffer_make_room(hft_buffer *b, size_t room) {
    if (b->head == b->tail) {
        b->head = b->tail = 0;
    } else if (b->cap - b->tail < room && b->head != 0) {
        memmove(b->data, b->data + b->head, b->tail - b->head);
        b->tail -= b->head;
        b->head = 0;
    }
    return b->cap - b->tail;
}

/* ---- operations ---- */

static int is_in_flight(const hft_conn *conn, hft_ring_op op) { return (conn->in_flight >> op & 1) != 0; }

static void set_in_flight(hft_conn *conn, hft_ring_op op, int on) {
    conn->in_flight = (uint8_t)(on ? conn->in_flight | 1u << op : conn->in_flight & ~(1u << op));
}

static int start_recv(hft_conn *conn) {
    if (is_in_flight(conn, HFT_OP_RECV)) return 0;
    size_t room = buffer_make_room(&conn->recv, HFT_CONN_RECV_MIN);
    if (room == 0) return HFT_E_CONN_RECV_FULL;
    if (room > HFT_CONN_RECV_MAX) room = HFT_CONN_RECV_MAX;
    int rc = hft_ring_recv(conn->ring, conn->slot, conn->generation, conn->fd, conn->recv.data + conn->recv.tail, room);
    if (rc == 0) set_in_flight(conn, HFT_OP_RECV, 1);
    return rc;
}

int hft_conn_flush(hft_conn *conn) {
    if (is_in_flight(conn, HFT_OP_SEND) || conn->send.head == conn->send.tail) return 0;
    int rc = hft_ring_send(conn->ring, conn->slot, conn->generation, conn->fd, conn->send.data + conn->send.head,
                           conn->send.tail - conn->send.head);
    if (rc == 0) set_in_flight(conn, HFT_OP_SEND, 1);
    return rc;
}

static socklen_t address_len(const hft_address *address) {
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

/* Everything of the former use is gone. */
static void begin(hft_conn *conn, const hft_address *address) {
    buffer_reset(&conn->recv);
    buffer_reset(&conn->plain);
    buffer_reset(&conn->send);
    memset(&conn->err, 0, sizeof conn->err);
    conn->generation++;
    conn->address = *address;
}

static void set_no_delay(int fd) {
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int hft_conn_accept(hft_conn *conn, int fd, const hft_address *address) {
    if (conn->state != HFT_CONN_IDLE || conn->use_tls) return HFT_E_STATE;
    begin(conn, address);
    set_no_delay(fd);
    conn->fd = fd;
    conn->state = HFT_CONN_OPEN;
    int rc = start_recv(conn);
    if (rc == 0) return 0;
    conn->fd = -1;
    conn->state = HFT_CONN_IDLE;
    return hft_fail(&conn->err, rc, 0, "accept");
}

int hft_conn_connect(hft_conn *conn, const hft_address *address) {
    if (conn->state != HFT_CONN_IDLE) return HFT_E_STATE;
    begin(conn, address);
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return hft_fail(&conn->err, -errno, 0, "socket");
    set_no_delay(fd);
    int rc = hft_ring_connect(conn->ring, conn->slot, conn->generation, fd, &conn->address.any, address_len(address));
    if (rc < 0) {
        close(fd);
        return hft_fail(&conn->err, rc, 0, "connect");
    }
    conn->fd = fd;
    conn->state = HFT_CONN_CONNECTING;
    set_in_flight(conn, HFT_OP_CONNECT, 1);
    return 0;
}

/* ---- TLS ---- */

static void tls_output_begin(hft_conn *conn) {
    hft_buffer *b = &conn->send;
    if (!is_in_flight(conn, HFT_OP_SEND)) buffer_make_room(b, HFT_TLS_HANDSHAKE_ROOM);
    hft_tls_output(&conn->tls, b->data + b->tail, b->cap - b->tail);
}

static void tls_output_end(hft_conn *conn) { conn->send.tail += conn->tls.out_len; }

static void tls_feed_received(hft_conn *conn) {
    hft_tls_feed(&conn->tls, conn->recv.data + conn->recv.head, conn->recv.tail - conn->recv.head);
}

static void tls_taken(hft_conn *conn) { conn->recv.head = conn->recv.tail - conn->tls.in_len; }

/* 1 = secured, 0 = goes on, < 0 = failed. The alert that names a failure to the peer is sent on the way out. */
static int tls_handshake(hft_conn *conn) {
    tls_output_begin(conn);
    tls_feed_received(conn);
    int rc = hft_tls_handshake(&conn->tls);
    tls_taken(conn);
    tls_output_end(conn);
    int flushed = hft_conn_flush(conn);
    return rc < 0 ? rc : flushed < 0 ? flushed : rc;
}

int hft_conn_pump(hft_conn *conn) {
    if (!conn->use_tls || conn->state != HFT_CONN_OPEN) return 0;
    hft_buffer *plain = &conn->plain;
    buffer_make_room(plain, HFT_CONN_PLAIN_MAX);
    size_t before = plain->tail;
    tls_output_begin(conn);
    tls_feed_received(conn);
    int rc = 0;
    while (plain->tail < plain->cap) {
        rc = hft_tls_read(&conn->tls, plain->data + plain->tail, plain->cap - plain->tail);
        if (rc <= 0) break;
        plain->tail += (size_t)rc;
    }
    tls_taken(conn);
    tls_output_end(conn);
    int flushed = hft_conn_flush(conn);
    if (plain->tail != before) return 1; /* a failure behind these bytes is met again by the next call */
    if (rc == 0) rc = flushed;
    if (rc >= 0) return 0;
    hft_conn_close(conn, rc, conn->tls.err.code != 0 ? conn->tls.err.text : "TLS close_notify");
    return rc;
}

int hft_conn_adopt(hft_conn *conn, int fd, const hft_address *address) {
    if (!conn->use_tls) return hft_conn_accept(conn, fd, address);
    if (conn->state != HFT_CONN_IDLE) return HFT_E_STATE;
    begin(conn, address);
    set_no_delay(fd);
    conn->fd = fd;
    conn->state = HFT_CONN_SECURING;
    int rc = hft_tls_begin(&conn->tls);
    if (rc == 0) rc = tls_handshake(conn);
    if (rc >= 0) rc = start_recv(conn);
    if (rc >= 0) return 0;
    conn->fd = -1;
    conn->state = HFT_CONN_IDLE;
    return hft_fail(&conn->err, rc, 0, "adopt");
}

int hft_conn_has_room(const hft_conn *conn, size_t len) {
    const hft_buffer *b = &conn->send;
    size_t room = is_in_flight(conn, HFT_OP_SEND) ? b->cap - b->tail : b->cap - (b->tail - b->head);
    if (conn->use_tls) len += (len / HFT_CONN_PLAIN_MAX + 1) * HFT_TLS_RECORD_OVERHEAD;
    return room >= len;
}

/* ---- completions ---- */

static int on_connected(hft_conn *conn, int32_t result) {
    if (result < 0) {
        hft_conn_close(conn, result, "connect");
        return HFT_CONN_NOTHING;
    }
    int rc;
    if (conn->use_tls) {
        conn->state = HFT_CONN_SECURING;
        rc = hft_tls_begin(&conn->tls);
        if (rc == 0) rc = tls_handshake(conn);
    } else {
        conn->state = HFT_CONN_OPEN;
        rc = 0;
    }
    if (rc >= 0) rc = start_recv(conn);
    if (rc < 0) {
        hft_conn_close(conn, rc, conn->tls.err.text);
        return HFT_CONN_NOTHING;
    }
    return conn->state == HFT_CONN_OPEN ? HFT_CONN_UP : HFT_CONN_NOTHING;
}

static int on_end_of_stream(hft_conn *conn) {
    int cut = conn->use_tls && !conn->tls.peer_closed;
    hft_conn_close(conn, cut ? HFT_E_TLS_TRUNCATED : HFT_E_CONN_CLOSED, NULL);
    return HFT_CONN_NOTHING;
}

static int on_received(hft_conn *conn, int32_t result) {
    if (result == -EINTR || result == -EAGAIN) {
        hft_conn_rearm(conn);
        return HFT_CONN_NOTHING;
    }
    if (result < 0) {
        hft_conn_close(conn, result, "receive");
        return HFT_CONN_NOTHING;
    }
    if (result == 0) return on_end_of_stream(conn);
    conn->recv.tail += (size_t)result;
    conn->bytes_in += (uint64_t)result;
    if (conn->state == HFT_CONN_OPEN) {
        if (!conn->use_tls || hft_conn_pump(conn) == 1) return HFT_CONN_DATA;
        hft_conn_rearm(conn); /* a part of a record, or one without data */
        return HFT_CONN_NOTHING;
    }
    int rc = tls_handshake(conn);
    if (rc < 0) {
        hft_conn_close(conn, rc, conn->tls.err.text);
        return HFT_CONN_NOTHING;
    }
    if (rc == 1) conn->state = HFT_CONN_OPEN;
    else hft_conn_rearm(conn);
    return rc == 1 ? HFT_CONN_UP : HFT_CONN_NOTHING;
}

static int on_sent(hft_conn *conn, int32_t result) {
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        hft_conn_close(conn, result, "send");
        return HFT_CONN_NOTHING;
    }
    if (result > 0) {
        conn->send.head += (size_t)result;
        conn->bytes_out += (uint64_t)result;
    }
    if (conn->send.head == conn->send.tail) {
        buffer_reset(&conn->send);
        return HFT_CONN_SENT;
    }
    buffer_make_room(&conn->send, conn->send.cap / 2); /* or steady traffic would creep to the end of the buffer */
    int rc = hft_conn_flush(conn);
    if (rc < 0) hft_conn_close(conn, rc, "send");
    return HFT_CONN_NOTHING;
}

/* A last try for alerts and close frames; a peer that does not read loses them. */
static void send_last(hft_conn *conn) {
    if (is_in_flight(conn, HFT_OP_SEND) || conn->send.head == conn->send.tail) return;
    ssize_t sent = send(conn->fd, conn->send.data + conn->send.head, conn->send.tail - conn->send.head,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) conn->bytes_out += (uint64_t)sent;
    conn->send.head = conn->send.tail;
}

/* What a send in flight left behind when the connection was told to close goes the same way. */
static void complete_closing(hft_conn *conn, hft_ring_op op, int32_t result) {
    if (op != HFT_OP_SEND || result <= 0) return;
    conn->send.head += (size_t)result;
    conn->bytes_out += (uint64_t)result;
    send_last(conn);
}

int hft_conn_complete(hft_conn *conn, uint64_t tag, int32_t result) {
    if (hft_ring_tag_generation(tag) != conn->generation) return HFT_CONN_NOTHING;
    hft_ring_op op = hft_ring_tag_op(tag);
    set_in_flight(conn, op, 0);
    if (conn->state == HFT_CONN_CLOSING) {
        complete_closing(conn, op, result);
        return HFT_CONN_NOTHING;
    }
    switch (op) {
    case HFT_OP_CONNECT: return on_connected(conn, result);
    case HFT_OP_RECV: return on_received(conn, result);
    case HFT_OP_SEND: return on_sent(conn, result);
    default: return HFT_CONN_NOTHING;
    }
}

void hft_conn_rearm(hft_conn *conn) {
    if (conn->state != HFT_CONN_OPEN && conn->state != HFT_CONN_SECURING) return;
    if (conn->use_tls && conn->plain.tail == conn->plain.cap && conn->plain.head == 0) {
        hft_conn_close(conn, HFT_E_CONN_RECV_FULL, NULL);
        return;
    }
    int rc = start_recv(conn);
    if (rc < 0) hft_conn_close(conn, rc, NULL);
}

/* ---- sending ---- */

uint8_t *hft_conn_space(hft_conn *conn, size_t n) {
    if (conn->state != HFT_CONN_OPEN) return NULL;
    if (conn->use_tls) return n <= conn->scratch_cap ? conn->scratch : NULL;
    hft_buffer *b = &conn->send;
    size_t room = is_in_flight(conn, HFT_OP_SEND) ? b->cap - b->tail : buffer_make_room(b, n);
    return room >= n ? b->data + b->tail : NULL;
}

int hft_conn_commit(hft_conn *conn, const uint8_t *message, size_t len) {
    hft_buffer *b = &conn->send;
    if (!conn->use_tls) {
        if (message != b->data + b->tail || b->cap - b->tail < len) return HFT_E_CONN_SEND_FULL;
        b->tail += len;
        return 0;
    }
    if (!is_in_flight(conn, HFT_OP_SEND)) buffer_make_room(b, len + HFT_TLS_RECORD_OVERHEAD);
    hft_tls_output(&conn->tls, b->data + b->tail, b->cap - b->tail);
    int rc = hft_tls_write(&conn->tls, message, len);
    b->tail += conn->tls.out_len;
    return rc;
}

/* ---- closing ---- */

void hft_conn_close(hft_conn *conn, int code, const char *text) {
    if (conn->state == HFT_CONN_IDLE || conn->state == HFT_CONN_CLOSING) return;
    if (conn->use_tls && conn->state == HFT_CONN_OPEN) {
        tls_output_begin(conn);
        (void)hft_tls_shutdown(&conn->tls);
        tls_output_end(conn);
    }
    send_last(conn);
    conn->state = HFT_CONN_CLOSING;
    (void)hft_fail(&conn->err, code, 0, text);
    for (hft_ring_op op = HFT_OP_CONNECT; op <= HFT_OP_SEND; op++)
        if (is_in_flight(conn, op)) (void)!hft_ring_cancel(conn->ring, hft_ring_tag(conn->slot, conn->generation, op));
}

int hft_conn_settle(hft_conn *conn) {
    if (conn->state != HFT_CONN_CLOSING || conn->in_flight != 0) return 0;
    hft_ring_forget(conn->ring, conn->slot, conn->fd);
    close(conn->fd);
    conn->fd = -1;
    conn->state = HFT_CONN_IDLE;
    return 1;
}
