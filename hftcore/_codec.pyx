"""The codecs of the core that only C calls, for tests: what they do is compared with other implementations."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from hftcore._status cimport check, check_err, check_local, init_core
from hftcore.libhft.http1 cimport (
    HFT_HTTP1_ACCEPT_LEN,
    HFT_HTTP1_HEAD_MAX,
    HFT_HTTP1_KEY_LEN,
    hft_http1_build_upgrade,
    hft_http1_parse_upgrade,
    hft_http1_upgrade,
)
from hftcore.libhft.json cimport (
    HFT_JSON_ABSENT,
    HFT_JSON_PATHS_MAX,
    hft_json_equals,
    hft_json_extract,
    hft_json_path,
    hft_json_path_init,
    hft_json_value,
)
from hftcore.libhft.status cimport hft_err
from hftcore.libhft.text cimport (
    HFT_DECIMAL_LEN_MAX,
    HFT_SCALE_MAX,
    HFT_U64_DIGITS_MAX,
    hft_base64_decode,
    hft_base64_encode,
    hft_decimal_parse,
    hft_decimal_put,
    hft_hex_decode,
    hft_hex_encode,
    hft_u64_parse,
    hft_u64_put,
    hft_u64_put_fixed,
    hft_utf8_valid,
)

cdef tuple type_names = ("absent", "null", "true", "false", "number", "string", "object", "array")


cdef bytes room(size_t size):
    return PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)


def json_extract(bytes text not None, list names not None):
    """{name: (type, raw bytes, escaped)} of the dotted paths that `text` holds; RemoteProtocolError if not JSON."""
    cdef hft_json_path paths[HFT_JSON_PATHS_MAX + 1]
    cdef hft_json_value values[HFT_JSON_PATHS_MAX + 1]
    cdef hft_err err
    cdef bytes name
    cdef size_t n = 0
    if len(names) > HFT_JSON_PATHS_MAX + 1:
        raise ValueError("too many paths")
    for name in names:
        check(hft_json_path_init(&paths[n], PyBytes_AS_STRING(name), <size_t>PyBytes_GET_SIZE(name)))
        n += 1
    check_err(hft_json_extract(values, paths, n, PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text), &err), &err)
    return {
        names[i]: (type_names[values[i].type], values[i].ptr[:values[i].len], bool(values[i].escaped))
        for i in range(n)
        if values[i].type != HFT_JSON_ABSENT
    }


def json_equals(bytes text not None, bytes name not None, bytes expected not None):
    """Whether the string or number at the path `name` is `expected`."""
    cdef hft_json_path path
    cdef hft_json_value value
    check(hft_json_path_init(&path, PyBytes_AS_STRING(name), <size_t>PyBytes_GET_SIZE(name)))
    check(hft_json_extract(&value, &path, 1, PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text), NULL))
    return bool(hft_json_equals(&value, PyBytes_AS_STRING(expected), <size_t>PyBytes_GET_SIZE(expected)))


def http1_build_upgrade(bytes host not None, bytes target not None, bytes key not None, bytes headers not None=b""):
    """The upgrade request."""
    if len(key) != HFT_HTTP1_KEY_LEN:
        raise ValueError("key: 24 characters")
    cdef hft_http1_upgrade request
    cdef char out[2 * HFT_HTTP1_HEAD_MAX]
    request.host, request.host_len = PyBytes_AS_STRING(host), <size_t>PyBytes_GET_SIZE(host)
    request.target, request.target_len = PyBytes_AS_STRING(target), <size_t>PyBytes_GET_SIZE(target)
    request.key = PyBytes_AS_STRING(key)
    request.headers, request.headers_len = PyBytes_AS_STRING(headers), <size_t>PyBytes_GET_SIZE(headers)
    cdef int size = check_local(hft_http1_build_upgrade(out, sizeof(out), &request))
    return out[:size]


def http1_parse_upgrade(bytes data not None, bytes accept not None):
    """The length of the response head, 0 while it is not complete."""
    if len(accept) != HFT_HTTP1_ACCEPT_LEN:
        raise ValueError("accept: 28 characters")
    cdef hft_err err
    cdef int status
    return check_err(hft_http1_parse_upgrade(&status, PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data),
                                             PyBytes_AS_STRING(accept), &err), &err)


def hex_encode(bytes data not None):
    """Lower-case hex."""
    cdef bytes out = room(2 * <size_t>len(data))
    hft_hex_encode(PyBytes_AS_STRING(out), PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))
    return out


def hex_decode(bytes text not None):
    """The bytes of a hex text."""
    cdef bytes out = room(<size_t>len(text) // 2)
    cdef int size = check(hft_hex_decode(<uint8_t *>PyBytes_AS_STRING(out), PyBytes_AS_STRING(text),
                                         <size_t>PyBytes_GET_SIZE(text)))
    return out[:size]


def base64_encode(bytes data not None):
    """Padded base64."""
    cdef bytes out = room((<size_t>len(data) + 2) // 3 * 4)
    cdef size_t size = hft_base64_encode(PyBytes_AS_STRING(out), PyBytes_AS_STRING(data),
                                         <size_t>PyBytes_GET_SIZE(data))
    return out[:size]


def base64_decode(bytes text not None):
    """The bytes of a base64 text."""
    cdef bytes out = room(3 * <size_t>len(text) // 4)
    cdef int size = check(hft_base64_decode(<uint8_t *>PyBytes_AS_STRING(out), PyBytes_AS_STRING(text),
                                            <size_t>PyBytes_GET_SIZE(text)))
    return out[:size]


def u64_put(uint64_t value):
    """Shortest decimal form."""
    cdef char out[HFT_U64_DIGITS_MAX]
    cdef size_t size = hft_u64_put(out, value)
    return out[:size]


def u64_put_fixed(uint64_t value, unsigned int digits):
    """`digits` digits (1 to 20)."""
    cdef char out[HFT_U64_DIGITS_MAX]
    if not 0 < digits <= HFT_U64_DIGITS_MAX:
        raise ValueError("digits: 1 to 20")
    hft_u64_put_fixed(out, value, digits)
    return out[:digits]


def u64_parse(bytes text not None):
    """The value of a decimal integer."""
    cdef uint64_t value = 0
    check(hft_u64_parse(&value, PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text)))
    return value


def decimal_put(uint64_t value, unsigned int scale, bint trim):
    """value / 10**scale as text."""
    cdef char out[HFT_DECIMAL_LEN_MAX]
    if scale > HFT_SCALE_MAX:
        raise ValueError("scale: 0 to 18")
    cdef size_t size = hft_decimal_put(out, value, scale, trim)
    return out[:size]


def decimal_parse(bytes text not None, unsigned int scale):
    """The value of a decimal text times 10**scale."""
    cdef uint64_t value = 0
    if scale > HFT_SCALE_MAX:
        raise ValueError("scale: 0 to 18")
    check(hft_decimal_parse(&value, PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text), scale))
    return value


def utf8_valid(bytes data not None):
    """Whether `data` is UTF-8."""
    return bool(hft_utf8_valid(PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data)))


init_core()
