from libc.stdint cimport uint64_t

from hftcore.libhft.reactor cimport hft_link_config_ws


# A time in ns as C counts it; what is beyond its range is for ever.
cdef uint64_t nanoseconds(double value) noexcept
# What a Request (hftcore._request) is to the core. Returns the objects that the config points into.
cdef tuple fill_link_config(hft_link_config_ws *config, object request, object endpoint, double timeout_s)
