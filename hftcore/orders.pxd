cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from hftcore.libhft.order cimport HFT_ORDER_SLOTS_MAX, hft_order_template, hft_order_value
from hftcore.libhft.presign cimport hft_presign


@cython.final
cdef class OrderTemplate:
    cdef hft_order_template t
    # Names by slot index; those of them that take a value.
    cdef readonly tuple slots
    cdef tuple value_names
    # The keyword names of the last call, and the slot that each of them fills.
    cdef tuple known_names
    cdef uint8_t[HFT_ORDER_SLOTS_MAX] slot_of_name
    cdef bint takes_value(self, int slot) noexcept
    cdef int seal(self, str message, str signed, bytes secret) except -1
    cdef bint is_json(self) except *
    cdef int learn_names(self, tuple names) except -1
    # The value must outlive *out, which may point into it.
    cdef int put_value(self, hft_order_value *out, unsigned int i, object value) except -1
    cdef bytes fill(self, const hft_order_value *values, bint signed_text)
    cdef bytes fill_from(self, PyObject *const *given, tuple names, bint signed_text)


@cython.final
cdef class PresignedOrders:
    cdef hft_presign p
    cdef OrderTemplate template
    cdef tuple held
    cdef void *memory
    cdef size_t memory_size
