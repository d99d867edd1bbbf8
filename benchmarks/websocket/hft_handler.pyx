# cython: language_level=3, boundscheck=False, wraparound=False
"""hftcore at its best: a handler in Cython, which never makes a Python object of a message."""

from hftcore.reactor cimport Connection, Handler, Message


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

cdef int TEXT = 1


cdef class MeterHandler(Handler):
    """One client of the round trips."""

    cdef meter m

    def __init__(self, bytes path, bytes payload):
        meter_open(&self.m, path, payload)

    cdef int send(self, Connection connection) except -1:
        meter_before_send(&self.m)
        connection.send_bytes(TEXT, self.m.payload, METER_PAYLOAD)
        meter_after_send(&self.m)
        return 0

    cpdef on_open(self, Connection connection):
        if meter_turn(&self.m, b"ready"):
            self.send(connection)

    cpdef on_message(self, Connection connection, Message message):
        if meter_arrived(&self.m, message.ptr, message.size) or meter_turn(&self.m, b"done"):
            self.send(connection)
        else:
            connection.close()


cdef class CrowdHandler(Handler):
    """All connections of many: how long messages of the crowd's server took."""

    cdef bench_samples samples
    cdef readonly int n_open
    cdef object _on_opened

    def __init__(self, size_t most, on_opened):
        bench_samples_open(&self.samples, most)
        self._on_opened = on_opened

    def __len__(self):
        return self.samples.len

    def write(self, bytes path):
        """Writes what there is, and begins anew."""
        bench_samples_write(&self.samples, path)
        self.samples.len = 0

    cpdef on_open(self, Connection connection):
        self.n_open += 1
        self._on_opened()

    cpdef on_message(self, Connection connection, Message message):
        meter_stamped(&self.samples, message.ptr, message.size)

    cpdef on_close(self, Connection connection, object error):
        raise RuntimeError(f"a connection has ended: {error}")
