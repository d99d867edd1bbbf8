"""The only place where a C status becomes an exception."""

import os

import cython

from hftcore.errors import HftError, LocalProtocolError, error_class

from hftcore.libhft.status cimport (
    hft_cpu_features,
    hft_sha256_kernel,
    hft_status_at,
    hft_status_name,
    hft_status_text,
)


cdef object make_error(int rc, object text, object pos):
    if rc > -10000:
        return OSError(-rc, os.strerror(-rc), text or None)
    cdef const char *name = hft_status_name(rc)
    if name == NULL:
        return HftError(f"unknown status {rc}", code=rc)
    message = hft_status_text(rc).decode()
    if text:
        message = f"{message}: {text}"
    return error_class(rc)(message, code=rc, name=name.decode(), pos=pos)


cdef int check(int rc, str what=None) except -1:
    if rc >= 0:
        return rc
    raise make_error(rc, what, None)


cdef int check_err(int rc, const hft_err *err, str what=None) except -1:
    if rc >= 0:
        return rc
    detail = err.text.decode("utf-8", "replace")
    text = ": ".join(part for part in (what, detail) if part)
    raise make_error(rc, text, err.pos)


cdef int check_local(int rc, str what=None) except -1:
    if rc >= 0:
        return rc
    error = make_error(rc, what, None)
    if not isinstance(error, HftError):
        raise error
    raise LocalProtocolError(str(error), code=rc, name=error.name)


def error_from_status(int rc, str text=""):
    """The exception (not raised) for a negative status."""
    return make_error(rc, text, None)


def status_codes():
    """All (name, code, text) of the C status list, in its order."""
    result = []
    cdef size_t i = 0
    cdef int code = hft_status_at(0)
    while code != 0:
        result.append((hft_status_name(code).decode(), code, hft_status_text(code).decode()))
        i += 1
        code = hft_status_at(i)
    return result


def cpu_features():
    """The HFT_CPU_* bits of this machine as a dict name -> bool."""
    cdef unsigned int bits = hft_cpu_features()
    names = ("sse4.1", "sha-ni", "avx2", "avx512", "invariant-tsc", "aes-ni", "vaes", "vbmi")
    return {name: bool(bits >> i & 1) for i, name in enumerate(names)}


cdef extern from *:
    """
    #if defined(__SANITIZE_ADDRESS__)
    #define HFT_BUILD_MODE "sanitize"
    #elif defined(__OPTIMIZE__)
    #define HFT_BUILD_MODE "release"
    #else
    #define HFT_BUILD_MODE "debug"
    #endif
    """
    const char *HFT_BUILD_MODE
    const char *HFT_COMPILER "__VERSION__"


def build():
    """Compiler, Cython version and mode (release, debug, sanitize) of this build."""
    return {"cython": cython.__version__, "compiler": HFT_COMPILER.decode(), "mode": HFT_BUILD_MODE.decode()}


def sha256_kernel():
    """The SHA-256 kernel in use."""
    return hft_sha256_kernel().decode()


init_core()
