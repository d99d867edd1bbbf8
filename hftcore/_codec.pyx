"""The codecs of the core that only C calls, for tests: what they do is compared with other implementations."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

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

cdef tuple type_names = ("absent", "null", "true", "false", "number", "string", "object", "array")


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


init_core()
