# cython: language_level=3, boundscheck=False, wraparound=False
"""picows at its best: a listener in Cython, which never makes a Python object of a message."""

from libc.string cimport memcpy
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport


cdef extern from "meter.h" nogil:
    enum:
        METER_PAYLOAD
    ctypedef struct meter:
        char payload[200]
    void meter_open(meter *m, const char *path, const char *payload)
    int meter_turn(meter *m, const char *word)
    int meter_arrived(meter *m, const void *data, size_t size)
    void meter_before_send(meter *m)
    void meter_after_send(meter *m)
    ctypedef struct bench_samples:
        size_t len
    void bench_samples_open(bench_samples *samples, size_t cap)
    void bench_samples_write(const bench_samples *samples, const char *path)
    void meter_stamped(bench_samples *samples, const void *data, size_t size)


cdef class Listener(WSListener):
    cdef:
        meter m
        char buffer[1024]  # the frame's header is put before the payload

    def __init__(self, bytes path, bytes payload):
        meter_open(&self.m, path, payload)

    cdef void send(self, WSTransport transport):
        memcpy(self.buffer + 64, self.m.payload, METER_PAYLOAD)  # masked in place: it has to be put there each time
        meter_before_send(&self.m)
        transport.send_reuse_external_buffer(WSMsgType.TEXT, self.buffer + 64, METER_PAYLOAD)
        meter_after_send(&self.m)

    cpdef on_ws_connected(self, WSTransport transport):
        if meter_turn(&self.m, b"ready"):
            self.send(transport)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if meter_arrived(&self.m, frame.payload_ptr, <size_t>frame.payload_size) or meter_turn(&self.m, b"done"):
            self.send(transport)
        else:
            transport.disconnect()


cdef class Stamps:
    """How long messages of the crowd's server took, of all connections."""

    cdef bench_samples samples

    def __init__(self, size_t most):
        bench_samples_open(&self.samples, most)

    def __len__(self):
        return self.samples.len

    def write(self, bytes path):
        """Writes what there is, and begins anew."""
        bench_samples_write(&self.samples, path)
        self.samples.len = 0


cdef class CrowdListener(WSListener):
    """One connection of many."""

    cdef Stamps stamps

    def __init__(self, Stamps stamps):
        self.stamps = stamps

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type == WSMsgType.TEXT:
            meter_stamped(&self.stamps.samples, frame.payload_ptr, <size_t>frame.payload_size)
