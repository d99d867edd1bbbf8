cimport cython

from hftcore.libhft.order cimport hft_order_template, hft_order_value


@cython.final
cdef class OrderTemplate:
    cdef hft_order_template t
    # Names by slot index; the same without the signature's.
    cdef readonly tuple slots
    cdef tuple value_names
    # Fills values[] from keyword arguments, whose objects must outlive it.
    cdef int collect(self, hft_order_value *values, dict given) except -1
    cdef int seal(self, str message, str signed, bytes secret) except -1
    cdef bint is_json(self) except *
    cdef bytes fill(self, const hft_order_value *values, bint signed_text)
