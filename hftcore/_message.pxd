cimport cython
from libc.stdint cimport uint8_t, uint64_t

from hftcore.libhft.reactor cimport hft_reactor_event


@cython.final
cdef class Message:
    # The payload, valid until the handler returns; NULL from then on.
    cdef const uint8_t *ptr
    cdef readonly size_t size
    cdef readonly int op                # HFT_WS_OP_TEXT or HFT_WS_OP_BINARY
    cdef readonly uint64_t recv_ns      # monotonic: when the bytes were taken from the kernel
    cdef readonly uint64_t kernel_ns    # wall clock, the kernel's stamp; 0 = not asked for
    cdef bytes _data
    cdef str _text

    cdef bytes get_data(self)
    cdef str get_text(self)


@cython.final
cdef class Timer:
    cdef readonly uint64_t due_ns
    cdef uint64_t serial
    cdef object callback
    cdef tuple args


# The exception of a call on a connection that has ended with `error`.
cdef object closed_again(object error)
# Raises what a send that failed with this status is to raise.
cdef int check_send(int rc) except -1
# Why a link has closed; None: by us, in good order.
cdef object error_of(bint was_open, hft_reactor_event *event)
