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
