"""The codecs of the core that only C calls, for tests: what they do is compared with other implementations."""

import cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport SIZE_MAX, uint8_t

from hftcore._status cimport check, check_err, check_local, init_core
from hftcore.libhft.deflate cimport (
    HFT_DEFLATE_VALUE_MAX,
    hft_deflate,
    hft_deflate_agree,
    hft_deflate_answer,
    hft_deflate_bound,
    hft_deflate_close,
    hft_deflate_compress,
    hft_deflate_decompress,
    hft_deflate_offer,
    hft_deflate_open,
    hft_deflate_params,
    hft_deflate_size,
)
from hftcore.libhft.http1 cimport (
    HFT_HTTP1_ACCEPT_LEN,
    HFT_HTTP1_HEAD_MAX,
    HFT_HTTP1_KEY_LEN,
    hft_http1_answer,
    hft_http1_build_response,
    hft_http1_build_upgrade,
    hft_http1_parse_request,
    hft_http1_parse_upgrade,
    hft_http1_request,
    hft_http1_response,
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
    hft_ws_role,
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


cdef object view_of(const char *ptr, size_t size):
    return ptr[:size] if size != 0 else b""


cdef hft_http1_upgrade offering(bytes subprotocols, bytes extensions):
    cdef hft_http1_upgrade request
    request.subprotocols, request.subprotocols_len = PyBytes_AS_STRING(subprotocols), len(subprotocols)
    request.extensions, request.extensions_len = PyBytes_AS_STRING(extensions), len(extensions)
    return request


def http1_build_upgrade(bytes host not None, bytes target not None, bytes key not None, bytes headers not None=b"",
                        bytes subprotocols not None=b"", bytes extensions not None=b""):
    """The upgrade request."""
    if len(key) != HFT_HTTP1_KEY_LEN:
        raise ValueError("key: 24 characters")
    cdef hft_http1_upgrade request = offering(subprotocols, extensions)
    cdef char out[2 * HFT_HTTP1_HEAD_MAX]
    request.host, request.host_len = PyBytes_AS_STRING(host), len(host)
    request.target, request.target_len = PyBytes_AS_STRING(target), len(target)
    request.key = PyBytes_AS_STRING(key)
    request.headers, request.headers_len = PyBytes_AS_STRING(headers), len(headers)
    cdef int size = check_local(hft_http1_build_upgrade(out, sizeof(out), &request))
    return out[:size]


def http1_parse_upgrade(bytes data not None, bytes accept not None, bytes subprotocols not None=b"",
                        bytes extensions not None=b""):
    """(length of the response head, 0 while it is not complete; subprotocol chosen; extensions agreed)."""
    if len(accept) != HFT_HTTP1_ACCEPT_LEN:
        raise ValueError("accept: 28 characters")
    cdef hft_err err
    cdef hft_http1_upgrade request = offering(subprotocols, extensions)
    cdef hft_http1_response response
    cdef int size = check_err(hft_http1_parse_upgrade(&response, PyBytes_AS_STRING(data), len(data), &request,
                                                      PyBytes_AS_STRING(accept), &err), &err)
    return size, view_of(response.subprotocol, response.subprotocol_len), view_of(response.extensions,
                                                                                  response.extensions_len)


def http1_parse_request(bytes data not None):
    """(length of the request head, target, host, key, subprotocols, extensions), or None while it is not complete."""
    cdef hft_err err
    cdef hft_http1_request request
    cdef int size = check_err(hft_http1_parse_request(&request, PyBytes_AS_STRING(data), len(data), &err), &err)
    if size == 0:
        return None
    return (
        size,
        view_of(request.target, request.target_len),
        view_of(request.host, request.host_len),
        view_of(request.key, HFT_HTTP1_KEY_LEN),
        view_of(request.subprotocols, request.subprotocols_len),
        view_of(request.extensions, request.extensions_len),
    )


def http1_build_response(bytes accept not None, bytes subprotocol not None=b"", bytes extensions not None=b""):
    """The response that accepts an upgrade."""
    if len(accept) != HFT_HTTP1_ACCEPT_LEN:
        raise ValueError("accept: 28 characters")
    cdef hft_http1_answer answer
    cdef char out[2 * HFT_HTTP1_HEAD_MAX]
    answer.accept = PyBytes_AS_STRING(accept)
    answer.subprotocol, answer.subprotocol_len = PyBytes_AS_STRING(subprotocol), len(subprotocol)
    answer.extensions, answer.extensions_len = PyBytes_AS_STRING(extensions), len(extensions)
    cdef int size = check_local(hft_http1_build_response(out, sizeof(out), &answer))
    return out[:size]


cdef hft_deflate_params params_of(tuple params):
    cdef hft_deflate_params value
    value.client_no_context_takeover, value.server_no_context_takeover = params[:2]
    value.client_max_window_bits, value.server_max_window_bits = params[2:]
    return value


cdef tuple tuple_of(const hft_deflate_params *params):
    return (bool(params.client_no_context_takeover), bool(params.server_no_context_takeover),
            params.client_max_window_bits, params.server_max_window_bits)


def deflate_offer(tuple wanted not None):
    """The header's value; parameters of permessage-deflate are tuples in the order of hft_deflate_params."""
    cdef hft_deflate_params params = params_of(wanted)
    cdef char out[HFT_DEFLATE_VALUE_MAX]
    return out[:check_local(hft_deflate_offer(out, sizeof(out), &params))]


def deflate_agree(tuple offered not None, bytes value not None):
    """What the server's answer to that offer makes of it."""
    cdef hft_deflate_params params = params_of(offered), agreed
    cdef hft_err err
    check_err(hft_deflate_agree(&agreed, &params, PyBytes_AS_STRING(value), len(value), &err), &err)
    return tuple_of(&agreed)


def deflate_answer(tuple own not None, bytes offers not None):
    """(the header's value, what is agreed), or None where no offer is acceptable."""
    cdef hft_deflate_params params = params_of(own), agreed
    cdef char out[HFT_DEFLATE_VALUE_MAX]
    cdef int size = check(hft_deflate_answer(out, sizeof(out), &agreed, &params, PyBytes_AS_STRING(offers),
                                             len(offers)))
    return (out[:size], tuple_of(&agreed)) if size != 0 else None


@cython.final
cdef class Deflate:
    """One side's compressor and decompressor."""

    cdef hft_deflate *deflate

    def __cinit__(self, tuple agreed not None, *, bint server=False, int level=6):
        cdef hft_deflate_params params = params_of(agreed)
        cdef hft_err err
        cdef hft_ws_role role = HFT_WS_SERVER if server else HFT_WS_CLIENT
        check_err(hft_deflate_open(&self.deflate, &params, role, level, &err), &err)

    def __dealloc__(self):
        hft_deflate_close(self.deflate)

    @property
    def size(self):
        """Bytes of memory."""
        return hft_deflate_size(self.deflate)

    def decompress(self, bytes payload not None, size_t cap):
        """The message, of `cap` bytes at most."""
        cdef bytes out = PyBytes_FromStringAndSize(NULL, cap)
        cdef size_t size
        check(hft_deflate_decompress(self.deflate, <uint8_t *>PyBytes_AS_STRING(out), cap, &size,
                                     <const uint8_t *>PyBytes_AS_STRING(payload), len(payload)))
        return out[:size]

    def compress(self, bytes message not None, cap=None):
        """The payload; LimitExceeded where `cap`, by default the bound, is too small."""
        cdef size_t room = hft_deflate_bound(self.deflate, len(message)) if cap is None else cap
        cdef bytes out = PyBytes_FromStringAndSize(NULL, room)
        cdef size_t size
        check(hft_deflate_compress(self.deflate, <uint8_t *>PyBytes_AS_STRING(out), room, &size,
                                   <const uint8_t *>PyBytes_AS_STRING(message), len(message)))
        return out[:size]


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
