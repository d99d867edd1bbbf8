/* The reactor's insides, shared by its source files. Private.
 *
 *   reactor.c        life, loop, events
 *   reactor_links.c  a link's memory, deadlines and pings
 *   reactor_calls.c  what the owner does to a link
 *   reactor_fork.c   what a child after fork(), and another thread, does with it
 */
#ifndef HFT_REACTOR_INTERNAL_H
#define HFT_REACTOR_INTERNAL_H

#include "hft/reactor.h"

#define HFT_LINK_NONE UINT32_MAX
#define HFT_NEVER UINT64_MAX
#define HFT_LINK_KEEP 262144u /* bytes of each of a link's buffers that stay after a longer message */

/* The ring's slots: the links, then the wake-up descriptor. */
static inline uint32_t hft_reactor_wake_slot(const hft_reactor *r) { return r->config.links_max; }

static inline uint64_t hft_reactor_mono_ns(const hft_reactor *r) {
    return hft_ticks_mono_ns(&r->clock, hft_ticks(&r->clock));
}

/* Whether a frame is on its way that has not come to its end. */
static inline int hft_reactor_in_frame(const hft_reactor_link *l) {
    const hft_conn *conn = &l->session.conn;
    const hft_buffer *b = conn->use_tls ? &conn->plain : &conn->recv;
    return l->session.parser.left != 0 || b->head != b->tail;
}

/* reactor.c */
/* The link has news, or may have. */
void hft_reactor_push(hft_reactor *r, uint32_t link);
/* Takes all completions there are; returns how many. */
int hft_reactor_reap(hft_reactor *r);
/* Notes that the socket is gone, if it is. */
void hft_reactor_settle(hft_reactor *r, uint32_t link);

/* reactor_links.c */
/* Zeroed pages, taken as they are used; NULL where the system gives none. */
void *hft_reactor_map(size_t size);
HFT_NODISCARD int hft_reactor_link_open(hft_reactor *r, uint32_t link, const hft_link_config_ws *config, hft_err *err);
void hft_reactor_link_free(hft_reactor *r, uint32_t link);
/* Sets the timer to the link's earliest deadline. */
void hft_reactor_link_plan(hft_reactor *r, uint32_t link);
/* Does what is due. */
void hft_reactor_link_tick(hft_reactor *r, uint32_t link);
void hft_reactor_link_opened(hft_reactor *r, uint32_t link);
/* The session is on its way out: it has until the closing time-out. */
void hft_reactor_link_leaving(hft_reactor *r, uint32_t link);
/* A long message was given out or sent: what it took is given back once there were none for a while. */
void hft_reactor_link_large(hft_reactor *r, uint32_t link);
void hft_reactor_rtt_add(hft_link_rtt *rtt, uint64_t rtt_ns);
/* 1 if the message answers an application ping: the oldest without an answer. It has one then. */
int hft_reactor_app_answered(hft_reactor_link *l, uint64_t *rtt_ns, const uint8_t *data, size_t len);
/* Gives back what another thread than the opener's can. */
void hft_reactor_abandon(hft_reactor *r);

#endif
