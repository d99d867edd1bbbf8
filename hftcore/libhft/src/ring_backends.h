/* The two backends of ring.h. Private. */
#ifndef HFT_RING_BACKENDS_H
#define HFT_RING_BACKENDS_H

#include "hft/ring.h"

int hft_ring_uring_open(hft_ring *ring, uint32_t slots, hft_err *err);
int hft_ring_epoll_open(hft_ring *ring, uint32_t slots, hft_err *err);

#endif
