#include "hft/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
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
    return hft_tls_open(&conn->tls, config->tls_context, config->host, config->port, err);
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

/* ---- what waits to be sent: [head, tail), then what has wrapped to the front, [0, wrapped) ---- */

/* Where n more bytes can go in one piece. *room may be more, or less where there is no such place. */
static uint8_t *send_space(hft_conn *conn, size_t *room, size_t n) {
    hft_buffer *b = &conn->send;
    if (conn->wrapped == 0) {
        if (b->head == b->tail) buffer_reset(b);
        *room = b->cap - b->tail;
        if (*room >= n || *room >= b->head) return b->data + b->tail;
    }
    *room = b->head - conn->wrapped;
    return b->data + conn->wrapped;
}

/* Queues the bytes written to a place that send_space gave. */
static int send_add(hft_conn *conn, const uint8_t *place, size_t len) {
    hft_buffer *b = &conn->send;
    if (conn->wrapped == 0 && place == b->data + b->tail && b->cap - b->tail >= len) b->tail += len;
    else if (place == b->data + conn->wrapped && b->head - conn->wrapped >= len) conn->wrapped += len;
    else return HFT_E_CONN_SEND_FULL;
    return 0;
}

static void send_remove(hft_conn *conn, size_t len) {
    hft_buffer *b = &conn->send;
    conn->bytes_out += len;
    b->head += len;
    if (b->head != b->tail) return;
    b->head = 0;
    b->tail = conn->wrapped;
    conn->wrapped = 0;
}

static void send_drop(hft_conn *conn) {
    buffer_reset(&conn->send);
    conn->wrapped = 0;
}

/* ---- operations ---- */

static int is_in_flight(const hft_conn *conn, hft_ring_op op) { return (conn->in_flight >> op & 1) != 0; }

static void set_in_flight(hft_conn *conn, hft_ring_op op, int on) {
    conn->in_flight = (uint8_t)(on ? conn->in_flight | 1u << op : conn->in_flight & ~(1u << op));
}

static int is_receiving(const hft_conn *conn) {
    return is_in_flight(conn, HFT_OP_RECV) || is_in_flight(conn, HFT_OP_RECV_STAMPED);
}

static int start_recv(hft_conn *conn) {
    hft_ring_op op = conn->stamped ? HFT_OP_RECV_STAMPED : HFT_OP_RECV;
    if (is_in_flight(conn, op) || (conn->paused && conn->state == HFT_CONN_OPEN)) return 0;
    size_t room = buffer_make_room(&conn->recv, HFT_CONN_RECV_MIN);
    if (room == 0) return HFT_E_CONN_RECV_FULL;
    if (room > HFT_CONN_RECV_MAX) room = HFT_CONN_RECV_MAX;
    uint8_t *place = conn->recv.data + conn->recv.tail;
    int rc = conn->stamped
                 ? hft_ring_recv_stamped(conn->ring, conn->slot, conn->generation, conn->fd, place, room)
                 : hft_ring_recv(conn->ring, conn->slot, conn->generation, conn->fd, place, room);
    if (rc == 0) set_in_flight(conn, op, 1);
    return rc;
}

int hft_conn_flush(hft_conn *conn) {
    if (is_in_flight(conn, HFT_OP_SEND) || conn->send.head == conn->send.tail) return 0;
    if (conn->send_error != 0) { /* TLS's own messages: nobody is there to read them */
        send_drop(conn);
        return 0;
    }
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
    conn->tls_unfinished = 0;
    send_drop(conn);
    conn->paused = 0;
    conn->send_error = 0;
    memset(&conn->err, 0, sizeof conn->err);
    conn->generation++;
    conn->address = *address;
}

static void set_no_delay(int fd) {
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Without this the stamps are 0: as with a kernel that keeps none. */
static void set_stamps(const hft_conn *conn, int fd) {
    int flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    if (conn->stamped) (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags);
}

int hft_conn_connect(hft_conn *conn, const hft_address *address) {
    if (conn->state != HFT_CONN_IDLE) return HFT_E_STATE;
    begin(conn, address);
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return hft_fail(&conn->err, -errno, 0, "socket");
    set_no_delay(fd);
    set_stamps(conn, fd);
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

static uint8_t *tls_output_begin(hft_conn *conn, size_t most) {
    size_t room;
    uint8_t *place = send_space(conn, &room, most);
    hft_tls_output(&conn->tls, place, room);
    return place;
}

static void tls_output_end(hft_conn *conn, const uint8_t *place) { (void)!send_add(conn, place, conn->tls.out_len); }

static void tls_feed_received(hft_conn *conn) {
    hft_tls_feed(&conn->tls, conn->recv.data + conn->recv.head, conn->recv.tail - conn->recv.head);
}

static void tls_taken(hft_conn *conn) { conn->recv.head = conn->recv.tail - conn->tls.in_len; }

/* 1 = secured, 0 = goes on, < 0 = failed. The alert that names a failure to the peer is sent on the way out. */
static int tls_handshake(hft_conn *conn) {
    uint8_t *place = tls_output_begin(conn, HFT_TLS_HANDSHAKE_ROOM);
    tls_feed_received(conn);
    int rc = hft_tls_handshake(&conn->tls);
    tls_taken(conn);
    tls_output_end(conn, place);
    int flushed = hft_conn_flush(conn);
    return rc < 0 ? rc : flushed < 0 ? flushed : rc;
}

int hft_conn_pump(hft_conn *conn) {
    if (!conn->use_tls || conn->state != HFT_CONN_OPEN) return 0;
    if (conn->recv.head == conn->recv.tail && !conn->tls_unfinished) return 0;
    hft_buffer *plain = &conn->plain;
    buffer_make_room(plain, HFT_CONN_PLAIN_MAX);
    size_t before = plain->tail;
    uint8_t *place = tls_output_begin(conn, HFT_TLS_HANDSHAKE_ROOM);
    tls_feed_received(conn);
    int rc = 0;
    while (plain->tail < plain->cap) {
        rc = hft_tls_read(&conn->tls, plain->data + plain->tail, plain->cap - plain->tail);
        if (rc <= 0) break;
        plain->tail += (size_t)rc;
        if (conn->tls.in_len == 0) break; /* a call that finds nothing costs a third of one that does */
    }
    conn->tls_unfinished = rc < 0 || plain->tail == plain->cap;
    tls_taken(conn);
    tls_output_end(conn, place);
    int flushed = hft_conn_flush(conn);
    if (plain->tail != before) return 1; /* a failure behind these bytes is met again by the next call */
    if (rc == 0) rc = flushed;
    if (rc >= 0) return 0;
    hft_conn_close(conn, rc, conn->tls.err.code != 0 ? conn->tls.err.text : "TLS close_notify");
    return rc;
}

/* ---- ending ---- */

/* A last try for alerts and close frames; a peer that does not read loses them. */
static void send_last(hft_conn *conn) {
    hft_buffer *b = &conn->send;
    if (is_in_flight(conn, HFT_OP_SEND) || hft_conn_queued(conn) == 0) return;
    struct iovec parts[2] = {{b->data + b->head, b->tail - b->head}, {b->data, conn->wrapped}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) conn->bytes_out += (uint64_t)sent;
    send_drop(conn);
}

static void close_now(hft_conn *conn, int code, const char *text) {
    if (conn->state == HFT_CONN_IDLE || conn->state == HFT_CONN_CLOSING) return;
    if (conn->use_tls && conn->state == HFT_CONN_OPEN) {
        uint8_t *place = tls_output_begin(conn, HFT_TLS_HANDSHAKE_ROOM);
        (void)hft_tls_shutdown(&conn->tls);
        tls_output_end(conn, place);
    }
    send_last(conn);
    conn->state = HFT_CONN_CLOSING;
    (void)hft_fail(&conn->err, code, 0, text);
    for (hft_ring_op op = HFT_OP_CONNECT; op < HFT_RING_OPS; op++)
        if (is_in_flight(conn, op)) (void)!hft_ring_cancel(conn->ring, hft_ring_tag(conn->slot, conn->generation, op));
}

/* ---- completions ---- */

/* There is nothing more to receive. The reason is the one that came first: of a send that failed, if one did. */
static void close_received(hft_conn *conn, int code, const char *text) {
    if (conn->send_error != 0) close_now(conn, conn->send_error, "send");
    else close_now(conn, code, text);
}

/* Begins to use a connected socket. An error: nothing is in flight. */
static int begin_receiving(hft_conn *conn) {
    conn->state = conn->use_tls ? HFT_CONN_SECURING : HFT_CONN_OPEN;
    int rc = conn->use_tls ? hft_tls_begin(&conn->tls) : 0;
    return rc < 0 ? rc : start_recv(conn);
}

static void begin_securing(hft_conn *conn) {
    int rc = tls_handshake(conn);
    if (rc < 0) hft_conn_close(conn, rc, conn->tls.err.text);
}

static int on_connected(hft_conn *conn, int32_t result) {
    if (result < 0) {
        hft_conn_close(conn, result, "connect");
        return HFT_CONN_NOTHING;
    }
    int rc = begin_receiving(conn);
    if (rc < 0) hft_conn_close(conn, rc, conn->tls.err.text);
    else if (conn->use_tls) begin_securing(conn);
    return conn->state == HFT_CONN_OPEN ? HFT_CONN_UP : HFT_CONN_NOTHING;
}

int hft_conn_adopt(hft_conn *conn, int fd, const hft_address *address) {
    if (conn->state != HFT_CONN_IDLE) return HFT_E_STATE;
    begin(conn, address);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) return hft_fail(&conn->err, -errno, 0, "fcntl");
    set_stamps(conn, fd);
    conn->fd = fd;
    int rc = begin_receiving(conn);
    if (rc < 0) {
        conn->fd = -1;
        conn->state = HFT_CONN_IDLE;
        return hft_fail(&conn->err, rc, 0, conn->use_tls ? conn->tls.err.text : "adopt");
    }
    if (conn->use_tls) begin_securing(conn);
    return 0;
}

static int on_end_of_stream(hft_conn *conn) {
    int rc = conn->use_tls ? hft_tls_end(&conn->tls) : HFT_E_CONN_CLOSED;
    close_received(conn, rc, rc != HFT_E_CONN_CLOSED ? conn->tls.err.text : NULL);
    return HFT_CONN_NOTHING;
}

static int on_received(hft_conn *conn, int32_t result) {
    if (result == -EINTR || result == -EAGAIN) {
        hft_conn_rearm(conn);
        return HFT_CONN_NOTHING;
    }
    if (result < 0) {
        close_received(conn, result, "receive");
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

/* The peer may have sent its reason before it went; that is in the kernel, and would be lost by closing now. Shut
 * down, the socket comes to an end behind it. */
static void end_sending(hft_conn *conn, int error) {
    conn->send_error = error;
    send_drop(conn);
    (void)shutdown(conn->fd, SHUT_RDWR);
}

static int on_sent(hft_conn *conn, int32_t result) {
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        end_sending(conn, result);
        return HFT_CONN_NOTHING;
    }
    if (result > 0) send_remove(conn, (size_t)result);
    if (conn->send.head == conn->send.tail) return HFT_CONN_SENT;
    int rc = hft_conn_flush(conn);
    if (rc < 0) hft_conn_close(conn, rc, "send");
    return HFT_CONN_NOTHING;
}

/* What a send in flight left behind when the connection was told to close goes the same way. */
static void complete_closing(hft_conn *conn, hft_ring_op op, int32_t result) {
    if (op != HFT_OP_SEND || result <= 0) return;
    send_remove(conn, (size_t)result);
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
    case HFT_OP_RECV:
    case HFT_OP_RECV_STAMPED: return on_received(conn, result);
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
    size_t room;
    if (conn->state != HFT_CONN_OPEN) return NULL;
    if (conn->use_tls) return n <= conn->scratch_cap ? conn->scratch : NULL;
    uint8_t *place = send_space(conn, &room, n);
    return room >= n ? place : NULL;
}

int hft_conn_has_room(const hft_conn *conn, size_t len) {
    const hft_buffer *b = &conn->send;
    if (conn->state != HFT_CONN_OPEN || conn->send_error != 0) return 0;
    size_t overhead = conn->use_tls ? HFT_TLS_RECORD_OVERHEAD : 0;
    size_t need = len + (len / HFT_CONN_PLAIN_MAX + 1) * overhead;
    if (conn->wrapped != 0) return need <= b->head - conn->wrapped;
    size_t behind = b->cap - b->tail, front = b->head;
    if (b->head == b->tail) return need <= b->cap;
    if (need <= behind || need <= front) return 1;
    /* A record does not lie half behind and half in front: less than one is left unused between. */
    return conn->use_tls && need + HFT_CONN_PLAIN_MAX + overhead <= behind + front;
}

int hft_conn_commit(hft_conn *conn, const uint8_t *message, size_t len) {
    if (conn->send_error != 0) return conn->send_error;
    if (!conn->use_tls) return send_add(conn, message, len);
    uint8_t *place = tls_output_begin(conn, len + HFT_TLS_RECORD_OVERHEAD);
    int rc = hft_tls_write(&conn->tls, message, len);
    tls_output_end(conn, place);
    return rc;
}

/* ---- closing ---- */

void hft_conn_close(hft_conn *conn, int code, const char *text) {
    if (conn->send_error == 0 || code != conn->send_error) close_now(conn, code, text);
}

int hft_conn_settle(hft_conn *conn) {
    if (conn->state != HFT_CONN_CLOSING || conn->in_flight != 0) return 0;
    hft_ring_forget(conn->ring, conn->slot, conn->fd);
    (void)shutdown(conn->fd, SHUT_RDWR); /* or the peer would be told only once a fork's child has closed its copy */
    close(conn->fd);
    conn->fd = -1;
    conn->state = HFT_CONN_IDLE;
    return 1;
}

/* ---- memory ---- */

static void give_back(const hft_buffer *b, size_t keep) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (keep >= b->cap) return;
    uintptr_t from = ((uintptr_t)b->data + keep + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)b->data + b->cap) & ~(page - 1);
    if (from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

void hft_conn_trim(hft_conn *conn, size_t keep) {
    if (hft_conn_drained(conn)) give_back(&conn->send, keep);
    if (conn->plain.head == conn->plain.tail) give_back(&conn->plain, keep);
    if (conn->recv.head != conn->recv.tail) return;
    size_t in_use = is_receiving(conn) ? conn->recv.tail + HFT_CONN_RECV_MAX : 0; /* data may be there already */
    give_back(&conn->recv, keep > in_use ? keep : in_use);
}
