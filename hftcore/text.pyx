"""Text as orders and messages need it: hex, base64, decimals, times, JSON strings, UTF-8. Exact out, strict in.

What is decoded or parsed has one spelling only and is str or bytes-like; of what is encoded the data are bytes-like.
Numbers are integers of 64 bits without a sign, never floats. On CPUs with AVX2 or AVX-512 the codecs use them
(HFTCORE_CPU=portable: not).

A text that is wrong raises LocalProtocolError with ``.name`` (``HFT_E_TEXT_...``), as does a number out of range; a
unit or scale that does not exist raises ConfigError. Both are ValueErrors.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.number cimport PyNumber_Index
from cpython.unicode cimport (
    PyUnicode_1BYTE_DATA,
    PyUnicode_AsUTF8AndSize,
    PyUnicode_DecodeUTF8,
    PyUnicode_New,
)
from libc.stdint cimport uint8_t, uint64_t

from hftcore._buffer cimport Borrowed, borrow, give_back
from hftcore._status cimport check, init_core
from hftcore.libhft.status cimport HFT_E_CAPACITY, HFT_E_TEXT_UTF8
from hftcore.libhft.text cimport (
    HFT_DECIMAL_LEN_MAX,
    HFT_JSON_ESCAPE_MAX,
    HFT_RFC3339_LEN_MAX,
    HFT_SCALE_MAX,
    HFT_U64_DIGITS_MAX,
    hft_base64_decode,
    hft_base64_encode,
    hft_decimal_parse,
    hft_decimal_put,
    hft_hex_decode,
    hft_hex_encode,
    hft_json_escape,
    hft_rfc3339_put,
    hft_timestamp_put,
    hft_u64_parse,
    hft_utf8_valid,
)

from hftcore.errors import ConfigError, LocalProtocolError

__all__ = [
    "base64_decode",
    "base64_encode",
    "format_decimal",
    "format_rfc3339",
    "format_timestamp",
    "hex_decode",
    "hex_encode",
    "json_escape",
    "parse_decimal",
    "parse_uint",
    "utf8_valid",
]


# As borrow(), of a str its UTF-8.
cdef int borrow_text(object source, Borrowed *b) except -1:
    if not isinstance(source, str):
        return borrow(source, b)
    try:
        b.data = PyUnicode_AsUTF8AndSize(source, &b.len)
    except UnicodeEncodeError:  # lone surrogates
        check(HFT_E_TEXT_UTF8)
    b.exported = False
    return 0


cdef str ascii_text(const char *text, size_t size):
    return PyUnicode_DecodeUTF8(<char *>text, <Py_ssize_t>size, NULL)


cdef str hex_text(const void *data, size_t size):
    cdef str text = PyUnicode_New(<Py_ssize_t>(2 * size), 127)
    hft_hex_encode(<char *>PyUnicode_1BYTE_DATA(text), data, size)
    return text


cdef str base64_text(const void *data, size_t size):
    cdef str text = PyUnicode_New(<Py_ssize_t>((size + 2) // 3 * 4), 127)
    hft_base64_encode(<char *>PyUnicode_1BYTE_DATA(text), data, size)
    return text


cdef uint64_t as_u64(object value) except? 0:
    number = PyNumber_Index(value)  # of a float there is none
    if not 0 <= number < 1 << 64:
        raise LocalProtocolError(f"{number}: 0 to 2**64 - 1")
    return number


cdef unsigned int checked_scale(object scale) except? 99:
    number = PyNumber_Index(scale)
    if not 0 <= number <= HFT_SCALE_MAX:
        raise ConfigError(f"scale {number}: 0 to {HFT_SCALE_MAX}")
    return number


# 10**scale ns
cdef unsigned int unit_scale(str unit) except? 99:
    if unit == "ms":
        return 6
    if unit == "us":
        return 3
    if unit == "ns":
        return 0
    if unit == "s":
        return 9
    raise ConfigError(f"unit {unit!r}: s, ms, us or ns")


def hex_encode(data, /):
    """Lower-case hexadecimal digits, two for each byte. Same result as ``bytes(data).hex()``."""
    cdef Borrowed b
    borrow(data, &b)
    try:
        return hex_text(b.data, <size_t>b.len)
    finally:
        give_back(&b)


def hex_decode(text, /):
    """The bytes of hexadecimal digits of either case, with nothing between them.

    Raises LocalProtocolError: HFT_E_TEXT_LENGTH (an odd number of digits), HFT_E_TEXT_DIGIT.
    """
    cdef Borrowed b
    cdef bytes out
    borrow_text(text, &b)
    try:
        out = PyBytes_FromStringAndSize(NULL, b.len // 2)
        check(hft_hex_decode(<uint8_t *>PyBytes_AS_STRING(out), <const char *>b.data, <size_t>b.len))
        return out
    finally:
        give_back(&b)


def base64_encode(data, /):
    """Base64 with padding (RFC 4648 section 4). Same result as ``base64.b64encode(data).decode()``."""
    cdef Borrowed b
    borrow(data, &b)
    try:
        return base64_text(b.data, <size_t>b.len)
    finally:
        give_back(&b)


def base64_decode(text, /):
    """The bytes of a base64 text (RFC 4648 section 4) as base64_encode() writes it, and of no other.

    Unlike ``base64.b64decode``, even with ``validate=True``, it refuses bits that are left behind the last byte and
    anything behind padding. Raises LocalProtocolError: HFT_E_TEXT_LENGTH (not a multiple of four characters),
    HFT_E_TEXT_DIGIT.
    """
    cdef Borrowed b
    cdef bytes out
    cdef const char *digits
    cdef size_t n, size
    borrow_text(text, &b)
    try:
        digits, n = <const char *>b.data, <size_t>b.len
        size = n // 4 * 3
        if n >= 4 and digits[n - 1] == b"=":
            size -= 2 if digits[n - 2] == b"=" else 1
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        check(hft_base64_decode(<uint8_t *>PyBytes_AS_STRING(out), digits, n))
        return out
    finally:
        give_back(&b)


def utf8_valid(data, /):
    """Whether data are UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF)."""
    cdef Borrowed b
    borrow(data, &b)
    try:
        return bool(hft_utf8_valid(<const char *>b.data, <size_t>b.len))
    finally:
        give_back(&b)


cdef str escape(const char *text, size_t size, size_t cap):
    cdef char *out = <char *>PyMem_Malloc(cap)
    if out == NULL:
        raise MemoryError
    try:
        rc = hft_json_escape(out, cap, text, size)
        if rc == HFT_E_CAPACITY:
            return None
        return PyUnicode_DecodeUTF8(out, check(rc), NULL)
    finally:
        PyMem_Free(out)


def json_escape(text, /):
    """What stands between the quotes of a JSON string (RFC 8259 section 7), as str.

    text: str, or bytes-like UTF-8. A quote, a backslash and the controls that have a letter (b f n r t) become two
    characters, other controls six, as in \\u001f; the rest stays as it is.
    ``json.loads('"' + json_escape(text) + '"')`` is the text again.

    Raises LocalProtocolError HFT_E_TEXT_UTF8 for bytes that are not UTF-8 and for lone surrogates.
    """
    cdef Borrowed b
    cdef size_t size
    borrow_text(text, &b)
    try:
        size = <size_t>b.len
        found = escape(<const char *>b.data, size, size + size // 8 + 64)
        return escape(<const char *>b.data, size, HFT_JSON_ESCAPE_MAX * size) if found is None else found
    finally:
        give_back(&b)


def format_decimal(value, scale, *, bint trim=False):
    """value / 10**scale as plain decimal text: format_decimal(150, 2) is "1.50", with trim "1.5".

    value: 0 to 2**64 - 1. scale: digits behind the point, 0 to 18. trim: without zeros at the end of a fraction, and
    without the point where none is left.
    """
    cdef char out[HFT_DECIMAL_LEN_MAX]
    return ascii_text(out, hft_decimal_put(out, as_u64(value), checked_scale(scale), trim))


def parse_decimal(text, scale, /):
    """The text's value times 10**scale, exactly: parse_decimal("1.5", 2) is 150.

    Digits, and a point with digits on both sides; no sign, exponent, spaces or leading zeros. scale: 0 to 18.

    Raises LocalProtocolError: HFT_E_TEXT_LENGTH (empty), HFT_E_TEXT_DIGIT, HFT_E_TEXT_PRECISION (digits other than 0
    behind the scale), HFT_E_TEXT_OVERFLOW (2**64 or more).
    """
    cdef Borrowed b
    cdef uint64_t value = 0
    cdef unsigned int digits = checked_scale(scale)
    borrow_text(text, &b)
    try:
        check(hft_decimal_parse(&value, <const char *>b.data, <size_t>b.len, digits))
    finally:
        give_back(&b)
    return value


def parse_uint(text, /):
    """The value of a decimal integer as ``str(n)`` writes it: digits only, no sign, no leading zeros.

    Raises LocalProtocolError: HFT_E_TEXT_LENGTH (empty), HFT_E_TEXT_DIGIT, HFT_E_TEXT_OVERFLOW (2**64 or more).
    """
    cdef Borrowed b
    cdef uint64_t value = 0
    borrow_text(text, &b)
    try:
        check(hft_u64_parse(&value, <const char *>b.data, <size_t>b.len))
    finally:
        give_back(&b)
    return value


def format_timestamp(unix_ns, str unit not None="ms"):
    """Unix time in whole units, rounded down.

    unix_ns: nanoseconds since 1970, as ``time.time_ns()`` gives them, 0 to 2**64 - 1. unit: "s", "ms", "us" or "ns".
    """
    cdef char out[HFT_U64_DIGITS_MAX]
    return ascii_text(out, hft_timestamp_put(NULL, out, as_u64(unix_ns), unit_scale(unit)))


def format_rfc3339(unix_ns, str unit not None="ms"):
    """The time in UTC as RFC 3339 writes it, rounded down: "2021-02-21T06:16:16.532Z".

    unix_ns: nanoseconds since 1970, 0 to 2**64 - 1 (the year 2554). unit: "s" (no fraction), "ms", "us" or "ns" (3, 6
    or 9 digits behind the point).
    """
    cdef char out[HFT_RFC3339_LEN_MAX]
    return ascii_text(out, hft_rfc3339_put(out, as_u64(unix_ns), 9 - unit_scale(unit)))


init_core()
