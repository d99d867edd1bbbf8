from cpython.bytes cimport PyBytes_AsString

from hftcore.libhft.status cimport HFT_E_CPU_LEVEL, hft_cpu_level_at, hft_err, hft_init


# Raises the exception of a negative status; returns any other unchanged. `what` says what was being done.
cdef int check(int rc, str what=*) except -1
# The same with the detail a C object kept.
cdef int check_err(int rc, const hft_err *err, str what=*) except -1
# As check(), for what the caller asked for: always a LocalProtocolError.
cdef int check_local(int rc, str what=*) except -1
# Builds the exception without raising it.
cdef object make_error(int rc, object text, object pos)


# Every extension links its own copy of the C core, so each calls this once when it is imported.
# HFTCORE_CPU=portable|avx2|shani|avx512 forces a level.
cdef inline int init_core() except -1:
    import os
    level = os.environ.get("HFTCORE_CPU", "").encode()
    cdef int rc = hft_init(PyBytes_AsString(level) if level else NULL)
    what = f"HFTCORE_CPU={level.decode('utf-8', 'backslashreplace')}"
    cdef size_t i = 0
    if rc == HFT_E_CPU_LEVEL:
        what += "; this machine has "
        while hft_cpu_level_at(i) != NULL:
            what += (", " if i != 0 else "") + hft_cpu_level_at(i).decode()
            i += 1
    return check(rc, what)
