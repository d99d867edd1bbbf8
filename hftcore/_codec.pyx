"""The codecs of the core that only C calls, for tests: what they do is compared with other implementations."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport SIZE_MAX, uint8_t

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
from hftcore.libhft.text cimport hft_utf8_feed, hft_utf8_stream
from hftcore.libhft.ws cimport (
    HFT_WS_CLIENT,
    HFT_WS_SERVER,
    hft_ws_event,
    hft_ws_mask_from,
    hft_ws_parser,
    hft_ws_parser_init,
    hft_ws_parser_next,
)

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


def utf8_feed(list pieces not None):
    """How many bytes of the pieces, one after the other, can begin a text, and whether the text may end there."""
    cdef hft_utf8_stream stream
    cdef size_t done = 0, size, good
    cdef bytes piece
    stream.due = 0
    for piece in pieces:
        size = <size_t>PyBytes_GET_SIZE(piece)
        good = hft_utf8_feed(&stream, PyBytes_AS_STRING(piece), size)
        done += good
        if good < size:
            return done, False
    return done, stream.due == 0


def ws_mask_from(bytes data not None, bytes mask not None, size_t offset):
    """The data, from the payload's byte `offset` on, masked."""
    if len(mask) != 4:
        raise ValueError("mask: 4 bytes")
    cdef bytes out = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(data))
    hft_ws_mask_from(<uint8_t *>PyBytes_AS_STRING(out), <const uint8_t *>PyBytes_AS_STRING(data),
                     <size_t>PyBytes_GET_SIZE(data), <const uint8_t *>PyBytes_AS_STRING(mask), offset)
    return out


def ws_parse(list pieces not None, *, bint server=False, inplace_max=None, size_t cap=1 << 20,
             size_t message_max=1 << 20, bint deflate=False):
    """What the pieces of a stream give: [(opcode, compressed, close_code, data)], the status, and the fault's place.

    Without a fault the place is where the parser waits.
    """
    cdef hft_ws_parser parser
    cdef hft_ws_event event
    cdef bytearray message = bytearray(cap), rest = bytearray()
    cdef size_t place = 0, used = 0
    cdef int rc = 0
    hft_ws_parser_init(&parser, HFT_WS_SERVER if server else HFT_WS_CLIENT, <char *>message, cap, message_max,
                       SIZE_MAX if inplace_max is None else <size_t>inplace_max)
    parser.deflate = deflate
    events = []
    for piece in pieces:
        rest += piece
        while True:
            rc = hft_ws_parser_next(&parser, &event, &used, <uint8_t *><char *>rest, <size_t>len(rest))
            if rc < 0:
                return events, rc, place + parser.err.pos
            if rc == 1:
                data = PyBytes_FromStringAndSize(<const char *>event.data, <Py_ssize_t>event.len)
                events.append((event.op, bool(event.compressed), event.close_code, data))
            place += used
            del rest[:used]
            if rc == 0 and used == 0:
                break
    return events, 0, place


init_core()
