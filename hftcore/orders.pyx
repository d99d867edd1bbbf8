"""Order templates: literal text with typed slots, filled and signed in C.

A template is two texts over the same slots, in which ``${name}`` marks a slot: the message that is sent, and the text
whose HMAC-SHA-256 goes into the message's signature slot. Slots are described by objects with the attributes ``kind``,
``scale`` and ``max_len`` (see ``hftcore.venues.Slot``):

=================== ===================================================== ==========================================
kind                value given to ``render``                             written as
=================== ===================================================== ==========================================
uint                int, 0 to 2**64 - 1                                   decimal digits
decimal             str or Decimal, or int (whole units); never float     all of ``scale`` digits behind the point
timestamp           int, Unix nanoseconds                                 units of 10**scale ns: 6 = ms, 3 = us
text                str, 1 to ``max_len`` of ``[A-Za-z0-9_.-]``           as it is
signature_hex       none                                                  64 lower-case hexadecimal digits
signature_base64    none                                                  44 characters, RFC 4648 section 4
=================== ===================================================== ==========================================
"""

import re
from decimal import Decimal

import orjson

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint64_t

from hftcore._status cimport check, init_core, make_error
from hftcore.libhft.order cimport (
    HFT_ORDER_FILL_MAX,
    HFT_ORDER_LITERAL_MAX,
    HFT_ORDER_PARTS_MAX,
    HFT_ORDER_SLOTS_MAX,
    HFT_SLOT_DECIMAL,
    HFT_SLOT_SIGNATURE_BASE64,
    HFT_SLOT_SIGNATURE_HEX,
    HFT_SLOT_TEXT,
    HFT_SLOT_TIMESTAMP,
    HFT_SLOT_UINT,
    hft_order_add_slot,
    hft_order_fill,
    hft_order_fill_signed_text,
    hft_order_find_slot,
    hft_order_init,
    hft_order_put_literal,
    hft_order_put_slot,
    hft_order_seal,
    hft_order_slot,
    hft_order_slot_kind,
    hft_order_text,
    hft_order_wipe,
)
from hftcore.libhft.status cimport HFT_E_ORDER_SLOT, HFT_E_ORDER_TEMPLATE, HFT_E_ORDER_VALUE
from hftcore.libhft.text cimport hft_decimal_parse

cdef dict KINDS = {
    "uint": HFT_SLOT_UINT,
    "decimal": HFT_SLOT_DECIMAL,
    "timestamp": HFT_SLOT_TIMESTAMP,
    "text": HFT_SLOT_TEXT,
    "signature_hex": HFT_SLOT_SIGNATURE_HEX,
    "signature_base64": HFT_SLOT_SIGNATURE_BASE64,
}
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
SLOT_NAME = re.compile(r"[a-z][a-z0-9_]{0,22}")


cdef inline bint is_signature(unsigned int kind) noexcept:
    return kind == HFT_SLOT_SIGNATURE_HEX or kind == HFT_SLOT_SIGNATURE_BASE64


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


cdef uint64_t integer_value(str name, object value, object limit) except? 0:
    if not 0 <= value < limit:
        raise make_error(HFT_E_ORDER_VALUE, f"slot {name}: {value} is out of range", None)
    return value


cdef int parse_decimal(uint64_t *out, str name, object value, unsigned int scale) except -1:
    cdef Py_ssize_t length
    cdef const char *digits
    cdef int rc
    if isinstance(value, Decimal):
        value = format(value, "f")
    elif type(value) is int:
        value = str(integer_value(name, value, 1 << 64))
    elif not isinstance(value, str):
        raise TypeError(f"slot {name}: str, Decimal or int expected, not {type(value).__name__}")
    digits = PyUnicode_AsUTF8AndSize(value, &length)
    rc = hft_decimal_parse(out, digits, <size_t>length, scale)
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
        cdef bytes encoded
        cdef int i
        hft_order_init(&self.t)
        for name, slot in slots.items():
            if not isinstance(name, str) or SLOT_NAME.fullmatch(name) is None:
                raise make_error(HFT_E_ORDER_SLOT, f"slot name {name!r}: a to z, 0 to 9, _; at most 23", None)
            if slot.kind not in KINDS:
                raise make_error(HFT_E_ORDER_SLOT, f"slot {name}: kind {slot.kind!r}; one of {', '.join(KINDS)}", None)
            encoded = name.encode()
            check(hft_order_add_slot(&self.t, PyBytes_AS_STRING(encoded), <hft_order_slot_kind><int>KINDS[slot.kind],
                                     slot.scale, slot.max_len),
                  f"slot {name}: scale {slot.scale} or max_len {slot.max_len} does not suit a {slot.kind},"
                  f" or over {HFT_ORDER_SLOTS_MAX} slots")
        self.slots = tuple(slots)
        self.value_names = tuple([name for i, name in enumerate(self.slots) if not is_signature(self.t.slots[i].kind)])
        put_text(self, &self.t.message, message, "message")
        put_text(self, &self.t.signed_text, signed, "signed text")
        self.seal(message, signed, secret)

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
        cdef bytes longest = b"0" * 64
        cdef unsigned int i
        for i in range(self.t.n_slots):
            values[i].u64 = <uint64_t>-1
            values[i].text = PyBytes_AS_STRING(longest)
            values[i].text_len = self.t.slots[i].max_len
        try:
            orjson.loads(self.fill(values, False))
        except orjson.JSONDecodeError:
            # Raised anew by the caller, outside of this handler: this exception holds the whole message.
            return False
        return True

    def __dealloc__(self):
        hft_order_wipe(&self.t)

    cdef int collect(self, hft_order_value *values, dict given) except -1:
        cdef hft_order_slot *slot
        cdef Py_ssize_t length
        cdef unsigned int i
        cdef unsigned int found = 0
        for i in range(self.t.n_slots):
            slot = &self.t.slots[i]
            if is_signature(slot.kind):
                continue
            name = <str>self.slots[i]
            value = given.get(name)
            if value is None:
                raise make_error(HFT_E_ORDER_SLOT, f"slot {name} needs a value", None)
            found += 1
            if slot.kind == HFT_SLOT_TEXT:
                if not isinstance(value, str):
                    raise TypeError(f"slot {name}: str expected, not {type(value).__name__}")
                values[i].text = PyUnicode_AsUTF8AndSize(value, &length)
                values[i].text_len = <size_t>length
            elif slot.kind == HFT_SLOT_DECIMAL:
                parse_decimal(&values[i].u64, name, value, slot.scale)
            elif type(value) is int:
                values[i].u64 = integer_value(name, value, 1 << 64)
            else:
                raise TypeError(f"slot {name}: int expected, not {type(value).__name__}")
        if found != <unsigned int>len(given):
            unknown = sorted(set(given) - set(self.value_names))
            raise make_error(HFT_E_ORDER_SLOT, f"no slot takes {', '.join(unknown)}; the slots are"
                             f" {', '.join(self.value_names) or 'none'}", None)
        return 0

    cdef bytes fill(self, const hft_order_value *values, bint signed_text):
        cdef char out[HFT_ORDER_FILL_MAX]
        cdef int bad_slot = -1
        cdef int rc
        if signed_text:
            rc = hft_order_fill_signed_text(&self.t, out, sizeof(out), values, &bad_slot)
        else:
            rc = hft_order_fill(&self.t, out, sizeof(out), values, &bad_slot)
        if rc < 0:
            check(rc, f"slot {self.slots[bad_slot]}" if bad_slot >= 0 else None)
        return PyBytes_FromStringAndSize(out, rc)

    def render(self, **values):
        """The message for these slot values, signed, as UTF-8.

        Raises TypeError for a value of the wrong type (a float always is), LocalProtocolError for a slot that is
        missing or unknown, or a value that does not fit; both name the slot.
        """
        cdef hft_order_value filled[HFT_ORDER_SLOTS_MAX]
        self.collect(filled, values)
        return self.fill(filled, False)

    def signed_text(self, **values):
        """The text that is signed for these slot values, as UTF-8: what a venue recomputes. Raises like render."""
        cdef hft_order_value filled[HFT_ORDER_SLOTS_MAX]
        self.collect(filled, values)
        return self.fill(filled, True)

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


init_core()
