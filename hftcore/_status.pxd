from cpython.bytes cimport PyBytes_AsString

from hftcore.libhft.status cimport hft_err, hft_init


# Raises the exception of a negative status; returns any other unchanged. `what` says what was being done.
cdef int check(int rc, str what=*) except -1
# The same with the detail a C object kept.
cdef int check_err(int rc, const hft_err *err, str what=*) except -1
# As check(), for what the caller asked for: always a LocalProtocolError.
cdef int check_local(int rc, str what=*) except -1
# Builds the exception without raising it.
cdef object make_error(int rc, object text, object pos)


# Every extension links its own copy of the C core, so each calls this once when it is imported.
# HFTCORE_CPU=portable|shani forces a level.
cdef inline int init_core() except -1:
    import os
    level = os.environ.get("HFTCORE_CPU", "").encode()
    return check(hft_init(PyBytes_AsString(level) if level else NULL), f"HFTCORE_CPU={level.decode()}")
