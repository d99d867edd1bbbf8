"""Order templates: literal text with typed slots, filled and signed in C.

A template is two texts over the same slots, in which ``${name}`` marks a slot, as often as it is needed: the message
that is sent, and the text whose HMAC-SHA-256 goes into the message's signature slot. Slots are described by objects
with the attributes of ``hftcore.venues.Slot``:

=================== ===================================================== ==========================================
kind                value given to ``render``                             written as
=================== ===================================================== ==========================================
uint                int, 0 to 2**64 - 1                                   decimal digits
decimal             str or Decimal, or int (whole units); never float     all of ``scale`` digits behind the point
decimal_trimmed     the same                                              without zeros at the end: 0.5, 3
timestamp           int, Unix nanoseconds                                 units of 10**scale ns: 6 = ms, 3 = us
rfc3339             the same                                              2021-02-21T06:16:16.532Z, to 10**scale ns
text                str, 1 to ``max_len`` of ``charset``                  as it is
signature_hex       none                                                  64 lower-case hexadecimal digits
signature_base64    none                                                  44 characters, RFC 4648 section 4
=================== ===================================================== ==========================================

charset: the ASCII characters that a text may have, with ranges: "A-Za-z0-9_.-", which is what "" stands for; a hyphen
means itself at either end. Quotes, backslashes and control characters are never allowed, so no value can be more than
text in JSON. of: makes the slot an echo: it takes the value of the slot so named, which stands before it among the
slots, and writes it in its own way; so one time can be written in milliseconds and as RFC 3339.
"""

import re
from decimal import Decimal
from typing import NamedTuple

import orjson

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from hftcore._status cimport check, init_core, make_error
from hftcore.libhft.hmac cimport hft_wipe
from hftcore.libhft.order cimport (
    HFT_ORDER_LITERAL_MAX,
    HFT_ORDER_PARTS_MAX,
    HFT_ORDER_SLOTS_MAX,
    HFT_ORDER_TEXT_MAX,
    HFT_SLOT_DECIMAL,
    HFT_SLOT_DECIMAL_TRIMMED,
    HFT_SLOT_RFC3339,
    HFT_SLOT_SIGNATURE_BASE64,
    HFT_SLOT_SIGNATURE_HEX,
    HFT_SLOT_TEXT,
    HFT_SLOT_TIMESTAMP,
    HFT_SLOT_UINT,
    hft_order_add_slot,
    hft_order_fill,
    hft_order_find_slot,
    hft_order_init,
    hft_order_plain,
    hft_order_put_literal,
    hft_order_put_slot,
    hft_order_seal,
    hft_order_slot,
    hft_order_text,
    hft_order_wipe,
)
from hftcore.libhft.presign cimport (
    HFT_PRESIGN_COUNT_MAX,
    HFT_PRESIGN_COUNT_MIN,
    hft_presign_config,
    hft_presign_init,
    hft_presign_refresh,
    hft_presign_size,
    hft_presign_take,
    hft_presigned,
)
from hftcore.libhft.status cimport (
    HFT_E_ORDER_CHARSET,
    HFT_E_ORDER_SLOT,
    HFT_E_ORDER_TEMPLATE,
    HFT_E_ORDER_VALUE,
    HFT_E_TEXT_DIGIT,
)
from hftcore.libhft.text cimport hft_charset, hft_charset_has, hft_decimal_parse

cdef dict KINDS = {
    "uint": HFT_SLOT_UINT,
    "decimal": HFT_SLOT_DECIMAL,
    "decimal_trimmed": HFT_SLOT_DECIMAL_TRIMMED,
    "timestamp": HFT_SLOT_TIMESTAMP,
    "rfc3339": HFT_SLOT_RFC3339,
    "text": HFT_SLOT_TEXT,
    "signature_hex": HFT_SLOT_SIGNATURE_HEX,
    "signature_base64": HFT_SLOT_SIGNATURE_BASE64,
}
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
SLOT_NAME = re.compile(r"[a-z][a-z0-9_]{0,22}")
cdef object MS = 1_000_000
cdef enum:
    DECIMAL_EXPONENT_MAX = 100  # beyond any slot; written out, a larger one could fill the memory


cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)


cdef inline bint is_signature(unsigned int kind) noexcept:
    return kind == HFT_SLOT_SIGNATURE_HEX or kind == HFT_SLOT_SIGNATURE_BASE64


cdef inline bint is_decimal(unsigned int kind) noexcept:
    return kind == HFT_SLOT_DECIMAL or kind == HFT_SLOT_DECIMAL_TRIMMED


# ---- building ----


cdef int put_charset(hft_charset *out, str name, str text) except -1:
    """Sets the bits of the characters that `text` stands for."""
    cdef int i = 0, c, last, n = len(text)
    if not text:
        out[0] = hft_order_plain
        return 0
    if not text.isascii() or not text.isprintable() or '"' in text or "\\" in text:
        raise make_error(HFT_E_ORDER_CHARSET, f"slot {name}: charset {text!r}: printable ASCII without quotes and"
                         " backslashes", None)
    while i < n:
        c = last = ord(text[i])
        if i + 2 < n and text[i + 1] == "-":
            last = ord(text[i + 2])
            i += 2
        if last < c or c < 0x22 < last or c < 0x5c < last:
            raise make_error(HFT_E_ORDER_CHARSET, f"slot {name}: charset {text!r}: the range {chr(c)}-{chr(last)} runs"
                             " backwards, or over a quote or backslash", None)
        for c in range(c, last + 1):
            out.bits[c & 15] |= <uint8_t>(1 << (c >> 4))
        i += 1
    return 0


cdef int add_slot(OrderTemplate self, name, slot) except -1:
    cdef hft_order_slot c
    cdef bytes encoded
    if not isinstance(name, str) or SLOT_NAME.fullmatch(name) is None:
        raise make_error(HFT_E_ORDER_SLOT, f"slot name {name!r}: a to z, 0 to 9, _; at most 23", None)
    if slot.kind not in KINDS:
        raise make_error(HFT_E_ORDER_SLOT, f"slot {name}: kind {slot.kind!r}; one of {', '.join(KINDS)}", None)
    if (slot.charset and slot.kind != "text") or not 0 <= slot.scale <= 18 or not 0 <= slot.max_len <= 255:
        raise make_error(HFT_E_ORDER_TEMPLATE, f"slot {name}: scale {slot.scale}, max_len {slot.max_len} or charset"
                         f" {slot.charset!r} does not suit a {slot.kind}", None)
    memset(&c, 0, sizeof(c))
    encoded = str.encode(name)
    memcpy(c.name, PyBytes_AS_STRING(encoded), <size_t>len(encoded))
    c.kind, c.scale, c.max_len = KINDS[slot.kind], slot.scale, slot.max_len
    c.of = <uint8_t>self.t.n_slots
    if slot.of:
        encoded = slot.of.encode()
        c.of = <uint8_t>check(hft_order_find_slot(&self.t, PyBytes_AS_STRING(encoded), <size_t>len(encoded)),
                              f"slot {name}: of {slot.of!r}, which is no slot before it")
    if c.kind == HFT_SLOT_TEXT:
        put_charset(&c.allowed, name, slot.charset)
    check(hft_order_add_slot(&self.t, &c),
          f"slot {name}: scale {slot.scale} or max_len {slot.max_len} does not suit a {slot.kind}, it is no echo of"
          f" {slot.of}, or over {HFT_ORDER_SLOTS_MAX} slots")
    return 0


cdef int put_text(OrderTemplate self, hft_order_text *text, str source, str what) except -1:
    cdef bytes piece
    cdef int rc
    for i, part in enumerate(PLACEHOLDER.split(source)):
        if i % 2 == 0:
            if "${" in part:
                raise make_error(HFT_E_ORDER_TEMPLATE, f"{what}: a ${{ without its }}", None)
            piece = part.encode()
            rc = hft_order_put_literal(text, PyBytes_AS_STRING(piece), <size_t>len(piece))
        else:
            piece = part.encode()
            rc = hft_order_find_slot(&self.t, PyBytes_AS_STRING(piece), <size_t>len(piece))
            check(rc, f"{what}: ${{{part}}} is not among the slots")
            if is_signature(self.t.slots[rc].kind) and (self.t.has_signature or text != &self.t.message):
                raise make_error(HFT_E_ORDER_TEMPLATE, f"{what}: ${{{part}}} may stand once, in the message", None)
            rc = hft_order_put_slot(&self.t, text, rc)
        check(rc, f"{what}: over {HFT_ORDER_LITERAL_MAX} bytes of literal text or {HFT_ORDER_PARTS_MAX} parts")
    return 0


# ---- values ----


cdef uint64_t integer_value(str name, object value) except? 0:
    try:
        return <uint64_t>value
    except OverflowError:
        # Not the value itself: Python refuses to write an int of many digits.
        raise make_error(HFT_E_ORDER_VALUE, f"slot {name}: an int from 0 to 2**64 - 1 expected", None) from None


cdef int parse_decimal(uint64_t *out, str name, object value, unsigned int scale) except -1:
    cdef Py_ssize_t length
    cdef const char *digits
    cdef int rc
    if not isinstance(value, str):
        if isinstance(value, Decimal):
            if value.is_finite() and abs(value.adjusted()) > DECIMAL_EXPONENT_MAX:
                raise make_error(HFT_E_ORDER_VALUE, f"slot {name}: {value} is out of range", None)
            value = format(value, "f")
        elif type(value) is int:
            value = str(integer_value(name, value))
        else:
            raise TypeError(f"slot {name}: str, Decimal or int expected, not {type(value).__name__}")
    if PyUnicode_IS_ASCII(value):
        digits = PyUnicode_AsUTF8AndSize(value, &length)
        rc = hft_decimal_parse(out, digits, <size_t>length, scale)
    else:
        rc = HFT_E_TEXT_DIGIT  # said here, because not every str has UTF-8
    if rc < 0:
        check(rc, f"slot {name}: {value!r} with {scale} digits behind the point")
    return 0


cdef class OrderTemplate:
    """A message template, ready to be filled.

    message, signed: the two texts; signed is empty if and only if no slot is a signature. slots: their kinds, by name.
    secret: the HMAC key, needed if there is a signature; it is not kept, and what was derived from it is wiped when the
    object goes. A message that starts with ``{`` must be JSON once filled.
    Raises LocalProtocolError: a slot that is unknown, unused or of an unknown kind, texts over the limits, a signature
    without secret or signed text, or the reverse.
    """

    def __cinit__(self, str message not None, str signed not None="", *, slots, bytes secret not None=b""):
        cdef int i
        hft_order_init(&self.t)
        slots = dict(slots)  # read once: the names are those of the slots added
        for name, slot in slots.items():
            add_slot(self, name, slot)
        self.slots = tuple(slots)
        self.value_names = tuple([name for i, name in enumerate(self.slots) if self.takes_value(i)])
        put_text(self, &self.t.message, message, "message")
        put_text(self, &self.t.signed_text, signed, "signed text")
        self.seal(message, signed, secret)

    cdef bint takes_value(self, int slot) noexcept:
        return not is_signature(self.t.slots[slot].kind) and self.t.slots[slot].of == slot

    cdef int seal(self, str message, str signed, bytes secret) except -1:
        used = set(PLACEHOLDER.findall(message + signed))
        for name in self.slots:
            if name not in used:
                raise make_error(HFT_E_ORDER_SLOT, f"slot {name} is never used", None)
        if self.t.has_signature and not signed:
            raise make_error(HFT_E_ORDER_TEMPLATE, "a signature slot, but no text to sign", None)
        if signed and not self.t.has_signature:
            raise make_error(HFT_E_ORDER_TEMPLATE, "a text to sign, but no signature slot in the message", None)
        if self.t.has_signature and not secret:
            raise make_error(HFT_E_ORDER_TEMPLATE, "a signature slot, but no secret", None)
        if secret and not self.t.has_signature:
            raise make_error(HFT_E_ORDER_TEMPLATE, "a secret, but no signature slot", None)
        check(hft_order_seal(&self.t, PyBytes_AS_STRING(secret), <size_t>len(secret)), "message is empty")
        if message.startswith("{") and not self.is_json():
            raise make_error(HFT_E_ORDER_TEMPLATE, "the message, filled, is not JSON", None)
        return 0

    cdef bint is_json(self) except *:
        """Whether a message filled with the longest values parses."""
        cdef hft_order_value values[HFT_ORDER_SLOTS_MAX]
        cdef char longest[HFT_ORDER_SLOTS_MAX][HFT_ORDER_TEXT_MAX]
        cdef hft_charset allowed[HFT_ORDER_SLOTS_MAX]
        cdef unsigned int i, j, of, c
        memset(longest, 0, sizeof(longest))
        for i in range(self.t.n_slots):
            values[i].u64 = <uint64_t>-1
            values[i].text = longest[i]
            values[i].text_len = self.t.slots[i].max_len
            allowed[i] = self.t.slots[i].allowed
            # An echo of a text may allow fewer characters, or less of them, than the value has.
            of = self.t.slots[i].of
            values[of].text_len = min(values[of].text_len, values[i].text_len)
            for j in range(sizeof(allowed[i].bits)):
                allowed[of].bits[j] &= allowed[i].bits[j]
        for i in range(self.t.n_slots):
            for c in range(128):
                if hft_charset_has(&allowed[i], <uint8_t>c):
                    memset(longest[i], <int>c, HFT_ORDER_TEXT_MAX)
        try:
            orjson.loads(self.fill(values, False))
        except orjson.JSONDecodeError:
            # Raised anew by the caller, outside of this handler: this exception holds the whole message.
            return False
        return True

    def __dealloc__(self):
        hft_order_wipe(&self.t)

    cdef int learn_names(self, tuple names) except -1:
        """Notes which slot each keyword argument fills; calls from the same place have the same tuple of names."""
        cdef uint8_t[HFT_ORDER_SLOTS_MAX] slot_of_name
        cdef unsigned int given = 0
        cdef int i, slot
        for i, name in enumerate(names):
            if name not in self.value_names:
                unknown = sorted(set(names) - set(self.value_names))
                raise make_error(HFT_E_ORDER_SLOT, f"no slot takes {', '.join(unknown)}; the slots are"
                                 f" {', '.join(self.value_names) or 'none'}", None)
            slot = self.slots.index(name)
            if given >> slot & 1:  # by names of a class that hashes equal ones apart
                raise make_error(HFT_E_ORDER_SLOT, f"slot {name} is given twice", None)
            given |= <unsigned int>1 << slot
            slot_of_name[i] = <uint8_t>slot
        for slot, name in enumerate(self.slots):
            if self.takes_value(slot) and not given >> slot & 1:
                raise make_error(HFT_E_ORDER_SLOT, f"slot {name} needs a value", None)
        self.known_names = names
        memcpy(self.slot_of_name, slot_of_name, sizeof(slot_of_name))
        return 0

    cdef int put_value(self, hft_order_value *out, unsigned int i, object value) except -1:
        cdef hft_order_slot *slot = &self.t.slots[i]
        cdef Py_ssize_t length
        if value is None:
            raise make_error(HFT_E_ORDER_SLOT, f"slot {self.slots[i]} needs a value", None)
        if slot.kind == HFT_SLOT_TEXT:
            if not isinstance(value, str):
                raise TypeError(f"slot {self.slots[i]}: str expected, not {type(value).__name__}")
            if not PyUnicode_IS_ASCII(value):  # said here, because not every str has UTF-8
                raise make_error(HFT_E_ORDER_CHARSET, f"slot {self.slots[i]}", None)
            out.text = PyUnicode_AsUTF8AndSize(value, &length)
            out.text_len = <size_t>length
        elif is_decimal(slot.kind):
            parse_decimal(&out.u64, <str>self.slots[i], value, slot.scale)
        elif type(value) is int:
            out.u64 = integer_value(<str>self.slots[i], value)
        else:
            raise TypeError(f"slot {self.slots[i]}: int expected, not {type(value).__name__}")
        return 0

    cdef bytes fill(self, const hft_order_value *values, bint signed_text):
        cdef int bad_slot = -1
        cdef int rc = hft_order_fill(&self.t, values, &bad_slot)
        if rc < 0:
            check(rc, f"slot {self.slots[bad_slot]}" if bad_slot >= 0 else None)
        if signed_text:
            return PyBytes_FromStringAndSize(self.t.signed_text.image, self.t.signed_text.len)
        return PyBytes_FromStringAndSize(self.t.message.image, rc)

    cdef bytes fill_from(self, PyObject *const *given, tuple names, bint signed_text):
        """Fills with the values at `given`, of the slots so named."""
        cdef hft_order_value values[HFT_ORDER_SLOTS_MAX]
        cdef uint8_t[HFT_ORDER_SLOTS_MAX] slot_of_name
        cdef Py_ssize_t i
        if names is not self.known_names:
            self.learn_names(names)
        # A value may run Python code to give its text, and with it a call that learns other names.
        memcpy(slot_of_name, self.slot_of_name, sizeof(slot_of_name))
        for i in range(len(names)):
            self.put_value(&values[slot_of_name[i]], slot_of_name[i], <object>given[i])
        return self.fill(values, signed_text)

    @property
    def max_len(self):
        """Length of the longest possible message, bytes."""
        return self.t.message_max

    @property
    def is_signed(self):
        """Whether the message carries a signature."""
        return self.t.has_signature != 0

    def __repr__(self):
        secret = "***" if self.is_signed else "none"
        return f"OrderTemplate(slots={self.slots!r}, max_len={self.max_len}, secret={secret})"

    def __reduce_ex__(self, protocol, /):
        raise TypeError("OrderTemplate holds a key: it cannot be pickled or copied")


# ---- render and signed_text ----
#
# Written as the C functions of the fast calling convention (PEP 590): Cython would make a dict of the keyword
# arguments first, which costs more than all of the formatting.


cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc

    enum:
        METH_FASTCALL
        METH_KEYWORDS

    object PyDescr_NewMethod(PyTypeObject *type, PyMethodDef *method)
    void PyType_Modified(PyTypeObject *type)

cdef tuple NO_NAMES = ()


cdef bytes fill_call(OrderTemplate self, PyObject *const *args, Py_ssize_t n_positional, PyObject *names,
                     bint signed_text):
    if n_positional != 0:
        raise TypeError("values are given by the names of their slots")
    return self.fill_from(args, NO_NAMES if names == NULL else <tuple>names, signed_text)


cdef bytes render(OrderTemplate self, PyObject *const *args, Py_ssize_t n_positional, PyObject *names):
    return fill_call(self, args, n_positional, names, False)


cdef bytes signed_text(OrderTemplate self, PyObject *const *args, Py_ssize_t n_positional, PyObject *names):
    return fill_call(self, args, n_positional, names, True)


cdef PyMethodDef[2] methods = [
    PyMethodDef(
        "render", <void *>render, METH_FASTCALL | METH_KEYWORDS,
        b"""render($self, /, **values)
--

The message for these slot values, signed, as UTF-8.

Raises TypeError for a value of the wrong type (a float always is), LocalProtocolError for a slot that is
missing or unknown, or a value that does not fit; both name the slot."""),
    PyMethodDef(
        "signed_text", <void *>signed_text, METH_FASTCALL | METH_KEYWORDS,
        b"""signed_text($self, /, **values)
--

The text that is signed for these slot values, as UTF-8: what a venue recomputes. Raises like render."""),
]


cdef int add_methods() except -1:
    cdef PyTypeObject *type = <PyTypeObject *>OrderTemplate
    cdef dict attributes = <dict>type.tp_dict
    for i in range(2):
        attributes[methods[i].ml_name.decode()] = PyDescr_NewMethod(type, &methods[i])
    PyType_Modified(type)
    return 0


# ---- signed ahead ----


class PresignedOrder(NamedTuple):
    """A message that was signed ahead, its client order id, and the timestamp in it (Unix ns)."""

    message: bytes
    client_id: str
    timestamp_ns: int

    def __repr__(self):
        return f"PresignedOrder(client_id={self.client_id!r}, timestamp_ns={self.timestamp_ns}, message=***)"


cdef class PresignedOrders:
    """Messages of one template, signed ahead for the coming steps of the clock: when it matters, they are only taken.

    template: has a timestamp slot and a text slot for the client order id, named here. id_prefix: begins each id; eight
    hex digits, a serial number, follow, which begins at 0: a prefix that was used before, in another run or by another
    object, gives ids that were used before. values: of the other slots. count: messages kept, 4 to 64, a quarter of
    them in the past. step_ms: between their timestamps. window_ms: no message with an older timestamp is given out;
    make it less than the venue's receive window. The template may be rendered in between.

    Raises LocalProtocolError: count, step_ms or window_ms (less than step_ms) out of range, no such slots, an id that
    is too long, values that do not fit.
    """

    def __cinit__(self, OrderTemplate template not None, *, str id_prefix not None, dict values=None,
                  str timestamp not None="timestamp", str client_id not None="client_id", int count=32, step_ms=10,
                  window_ms=2500):
        cdef hft_presign_config config
        cdef hft_order_value given[HFT_ORDER_SLOTS_MAX]
        cdef bytes prefix = id_prefix.encode()
        cdef int i
        values = dict(values or {})
        memset(&config, 0, sizeof(config))
        memset(given, 0, sizeof(given))
        for name in values:
            if name not in template.value_names or name in (timestamp, client_id):
                raise make_error(HFT_E_ORDER_SLOT, f"no other slot takes {name}", None)
        for i, name in enumerate(template.slots):
            if template.takes_value(i) and name not in (timestamp, client_id):
                template.put_value(&given[i], <unsigned int>i, values.get(name))
        config.order = &template.t
        config.timestamp_slot = template.slots.index(timestamp) if timestamp in template.slots else -1
        config.id_slot = template.slots.index(client_id) if client_id in template.slots else -1
        config.values = given
        config.id_prefix = PyBytes_AS_STRING(prefix)
        config.id_prefix_len = <size_t>len(prefix)
        if not HFT_PRESIGN_COUNT_MIN <= count <= HFT_PRESIGN_COUNT_MAX or not 0 < step_ms <= window_ms <= 3_600_000:
            raise make_error(HFT_E_ORDER_VALUE, f"count {count} ({HFT_PRESIGN_COUNT_MIN} to {HFT_PRESIGN_COUNT_MAX}),"
                             f" step_ms {step_ms} or window_ms {window_ms} (step_ms to an hour)", None)
        config.count = <unsigned int>count
        config.step_ns = int(step_ms * MS)
        config.window_ns = int(window_ms * MS)
        self.template = template
        self.held = tuple(values.values())
        self.memory_size = hft_presign_size(&template.t, config.count)
        self.memory = PyMem_RawMalloc(self.memory_size)
        if self.memory == NULL:
            raise MemoryError
        check(hft_presign_init(&self.p, &config, self.memory),
              f"timestamp slot {timestamp}, client id slot {client_id}, id_prefix {id_prefix!r} and 8 digits")

    def __dealloc__(self):
        if self.memory != NULL:
            hft_wipe(self.memory, self.memory_size)
            PyMem_RawFree(self.memory)

    def refresh(self, now_ns, /):
        """Signs the one message that is needed first, if any: call it while idle until it returns False.

        now_ns: the venue's time, Unix ns. Raises LocalProtocolError if a value does not fit its slot.
        """
        cdef int bad_slot = -1
        cdef int rc = hft_presign_refresh(&self.p, now_ns, &bad_slot)
        if rc < 0:
            check(rc, f"slot {self.template.slots[bad_slot]}" if bad_slot >= 0 else None)
        return rc == 1

    def take(self, now_ns, /):
        """The newest message whose time has come and whose window is open, once; None if there is none.

        now_ns: the venue's time, Unix ns.
        """
        cdef hft_presigned order
        if not hft_presign_take(&self.p, &order, now_ns):
            return None
        return PresignedOrder(order.message[:order.message_len], order.id[:order.id_len].decode("ascii"),
                              order.timestamp_ns)

    def __reduce_ex__(self, protocol, /):
        raise TypeError("PresignedOrders holds signed messages: it cannot be pickled or copied")


init_core()
add_methods()
