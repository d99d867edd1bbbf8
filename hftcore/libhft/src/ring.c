#include "hft/ring.h"

#include "ring_backends.h"

int hft_ring_open(hft_ring *ring, hft_ring_backend backend, uint32_t slots, hft_err *err) {
    ring->ops = NULL;
    ring->impl = NULL;
    if (slots == 0 || slots > HFT_RING_SLOTS_MAX) return hft_fail(err, HFT_E_ARGUMENT, 0, "ring: 1 to 4096 slots");
    if (backend == HFT_RING_EPOLL) return hft_ring_epoll_open(ring, slots, err);
    int rc = hft_ring_uring_open(ring, slots, err);
    if (rc < 0 && backend == HFT_RING_AUTO) return hft_ring_epoll_open(ring, slots, err);
    return rc;
}

void hft_ring_close(hft_ring *ring) {
    if (ring->ops != NULL) ring->ops->close(ring);
    ring->ops = NULL;
}
