#include <pthread.h>
#include <unistd.h>

#include "reactor_internal.h"

/* Memory stays: a handler that forked may be looking at a message, and the child has no more than a copy. */
void hft_reactor_disown(hft_reactor *r) {
    if (r->memory == NULL) return;
    hft_ring_close(&r->ring);
    for (uint32_t i = 0; i < r->config.links_max; i++)
        if (r->links[i].used && r->links[i].session.conn.fd >= 0) close(r->links[i].session.conn.fd);
    close(r->wake_fd);
    r->memory = NULL;
}

static void *disown(void *reactor) {
    hft_reactor_disown(reactor);
    return NULL;
}

/* A ring is registered with its thread, under a number: in the caller's calls this would be the number of a ring of his
 * own. A thread that has none can do no harm. Memory stays: only the opener's could wait for what is in flight. */
void hft_reactor_abandon(hft_reactor *r) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, disown, r) == 0) (void)pthread_join(thread, NULL);
    r->memory = NULL;
}
