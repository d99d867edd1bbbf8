# cython: binding=False, embedsignature=True, embedsignature.format=clinic
# Builtin functions: calling one takes 5 ns less than one of Cython's own, and inspect still sees its signature.
"""Hashes and message authentication codes: SHA-256, Bitcoin's double SHA-256, HMAC-SHA-256, HMAC-SHA-512.

All functions take any bytes-like object that is contiguous; others are a BufferError, what is not bytes-like a
TypeError. SHA-256 runs on the widest vectors or the SHA extensions of the CPU, SHA-512 in OpenSSL. Not for passwords:
these hashes are fast on purpose.

The GIL is released while 64 KiB or more are hashed; docs/reference/crypto.md says how that is counted and why. The
buffers stay exported meanwhile, so a bytearray among them cannot be resized.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from hftcore._buffer cimport Borrowed, borrow, give_back
from hftcore._status cimport check, init_core, make_error
from hftcore.libhft.hmac cimport (
    hft_equal_ct,
    hft_hmac_digest,
    hft_hmac_key_init,
    hft_hmac_many,
    hft_hmac_stem_digest,
    hft_hmac_stem_init,
    hft_wipe,
)
from hftcore.libhft.hmac512 cimport HFT_HMAC512_LEN, hft_hmac512_close, hft_hmac512_digest, hft_hmac512_open
from hftcore.libhft.sha256 cimport (
    hft_merkle_root,
    hft_sha256_digest,
    hft_sha256_items,
    hft_sha256_many,
    hft_sha256d_digest,
    hft_sha256d_items,
    hft_sha256d_many,
)
from hftcore.libhft.status cimport HFT_E_ARGUMENT, HFT_E_BTC_REPEATED, HFT_E_CAPACITY
from hftcore.text cimport base64_text, hex_text

cdef enum:
    DIGEST_LEN = 32
    MAC_MAX = HFT_HMAC512_LEN
    TRUNCATED_MIN = 16
    # Bytes from which the GIL is released, about 30 us of hashing: release and return take 22 ns by themselves, two
    # hashing threads gain 1.8 x from 2 KiB on, but the return takes up to 5 ms beside a thread that runs Python.
    NOGIL_MIN = 65536

ctypedef void (*hash_fn)(uint8_t *out, const void *data, size_t length) noexcept nogil
ctypedef void (*items_fn)(uint8_t *out, const void *data, size_t item_size, size_t n) noexcept nogil
ctypedef void (*many_fn)(uint8_t *out, const hft_hmac_key *key, const void *const *data, const size_t *length,
                         size_t n) noexcept nogil


# ---- arguments ----

cdef inline bytes new_bytes(Py_ssize_t size):
    return PyBytes_FromStringAndSize(NULL, size)


# ---- one message ----

cdef inline bytes hashed(hash_fn function, object data):
    cdef Borrowed b
    cdef bytes result = new_bytes(DIGEST_LEN)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(result)
    borrow(data, &b)
    if b.len < NOGIL_MIN:
        function(out, b.data, <size_t>b.len)
    else:
        with nogil:
            function(out, b.data, <size_t>b.len)
    give_back(&b)
    return result


def sha256(data, /):
    """The SHA-256 digest (FIPS 180-4), 32 bytes. Same result as ``hashlib.sha256(data).digest()``."""
    return hashed(hft_sha256_digest, data)


def sha256d(data, /):
    """SHA-256 of the SHA-256 digest, 32 bytes: Bitcoin's hash of transactions, blocks and messages."""
    return hashed(hft_sha256d_digest, data)


# ---- many messages ----

cdef void sha256_many_of(uint8_t *out, const hft_hmac_key *key, const void *const *data, const size_t *length,
                         size_t n) noexcept nogil:
    hft_sha256_many(out, data, length, n)


cdef void sha256d_many_of(uint8_t *out, const hft_hmac_key *key, const void *const *data, const size_t *length,
                          size_t n) noexcept nogil:
    hft_sha256d_many(out, data, length, n)


# Where the digests of a batch go.
cdef struct Target:
    uint8_t *out
    Py_ssize_t len
    bint exported
    Py_buffer view


# Finds a place for n digests: `out`, or a new bytes object. Returns what the caller is to return.
cdef object open_target(Target *t, object out, Py_ssize_t n):
    cdef bytes result
    t.exported = out is not None
    if not t.exported:
        result = new_bytes(DIGEST_LEN * n)
        t.out = <uint8_t *>PyBytes_AS_STRING(result)
        t.len = DIGEST_LEN * n
        return result
    PyObject_GetBuffer(out, &t.view, PyBUF_WRITABLE)
    t.out = <uint8_t *>t.view.buf
    t.len = t.view.len
    if t.len < DIGEST_LEN * n:
        close_target(t)
        raise make_error(HFT_E_CAPACITY, f"out has {t.len} bytes, {n} digests take {DIGEST_LEN * n}", None)
    t.len = DIGEST_LEN * n
    return n


cdef inline void close_target(Target *t) noexcept:
    if t.exported:
        PyBuffer_Release(&t.view)


cdef inline int refuse_overlap(const Target *t, const Borrowed *b) except -1:
    cdef const uint8_t *data = <const uint8_t *>b.data
    if b.len != 0 and t.out < data + b.len and data < t.out + t.len:
        raise make_error(HFT_E_ARGUMENT, "out overlaps what is hashed", None)
    return 0


# Whether a batch takes long enough to release the GIL: messages have a last block, or most of one, for their padding.
cdef inline bint is_long(size_t total_len, size_t n) noexcept:
    return total_len + 64 * n >= NOGIL_MIN


cdef object hash_items(items_fn function, object data, object item_size, object out):
    cdef Borrowed b
    cdef Target target
    cdef Py_ssize_t size = item_size
    cdef size_t n
    if size <= 0:
        raise make_error(HFT_E_ARGUMENT, f"item_size {size}: at least 1", None)
    borrow(data, &b)
    try:
        if b.len % size != 0:
            raise make_error(HFT_E_ARGUMENT, f"{b.len} bytes are not a multiple of item_size {size}", None)
        n = <size_t>(b.len // size)
        result = open_target(&target, out, <Py_ssize_t>n)
        try:
            refuse_overlap(&target, &b)
            if is_long(<size_t>b.len, n):
                with nogil:
                    function(target.out, b.data, <size_t>size, n)
            else:
                function(target.out, b.data, <size_t>size, n)
        finally:
            close_target(&target)
    finally:
        give_back(&b)
    return result


# Takes one block of memory for the whole batch, so that the GIL is released once.
cdef object hash_list(many_fn function, const hft_hmac_key *key, object messages, object out):
    cdef Target target
    if PyObject_CheckBuffer(messages):
        raise TypeError("an iterable of messages expected; one buffer may hold several if their item_size is given")
    cdef tuple items = tuple(messages)
    cdef Py_ssize_t n = len(items)
    cdef char *memory = <char *>PyMem_Malloc(<size_t>n * (sizeof(void *) + sizeof(size_t) + sizeof(Borrowed)))
    if memory == NULL:
        raise MemoryError
    try:
        result = open_target(&target, out, n)
        try:
            hash_borrowed(function, key, &target, items, memory)
        finally:
            close_target(&target)
    finally:
        PyMem_Free(memory)
    return result


# memory: n pointers, n lengths, and room for n of Borrowed, of which only those that are exported take any.
cdef int hash_borrowed(many_fn function, const hft_hmac_key *key, const Target *target, tuple items,
                       char *memory) except -1:
    cdef size_t n = <size_t>len(items), total_len = 0, n_exported = 0, i = 0
    cdef const void **data = <const void **>memory
    cdef size_t *length = <size_t *>(data + n)
    cdef Borrowed *exported = <Borrowed *>(length + n)
    cdef Borrowed *b
    try:
        for item in items:
            b = &exported[n_exported]
            borrow(item, b)
            n_exported += b.exported
            refuse_overlap(target, b)
            data[i] = b.data
            length[i] = <size_t>b.len
            total_len += length[i]
            i += 1
        if is_long(total_len, n):
            with nogil:
                function(target.out, key, data, length, n)
        else:
            function(target.out, key, data, length, n)
    finally:
        for i in range(n_exported):
            give_back(&exported[i])
    return 0


def sha256_many(messages, /, item_size=None, *, out=None):
    """SHA-256 digests of many messages at once, which fills the lanes of the CPU's vectors.

    messages: an iterable of bytes-like objects, or, with item_size, one bytes-like object in which messages of
    item_size bytes follow each other. Returns the digests one after the other, 32 bytes each. With out, a writable
    buffer of 32 bytes a message or more, they are written to its beginning instead, and the number of messages is
    returned.
    Raises ConfigError (a ValueError) if the length is not a multiple of item_size, item_size is below 1, or out
    overlaps a message; LimitExceeded if out is too small; BufferError if it is read-only. Then nothing is written.
    """
    if item_size is None:
        return hash_list(sha256_many_of, NULL, messages, out)
    return hash_items(hft_sha256_items, messages, item_size, out)


def sha256d_many(messages, /, item_size=None, *, out=None):
    """As sha256_many, each message hashed twice: txids of transactions, hashes of 80-byte block headers."""
    if item_size is None:
        return hash_list(sha256d_many_of, NULL, messages, out)
    return hash_items(hft_sha256d_items, messages, item_size, out)


# ---- merkle root ----

# A copy of the ids, one after the other: the levels of the tree replace each other in it.
cdef bytearray copied_ids(object txids):
    cdef Borrowed b
    cdef bint whole = PyObject_CheckBuffer(txids)
    cdef tuple parts = (txids,) if whole else tuple(txids)
    cdef bytearray ids = bytearray(DIGEST_LEN * len(parts))
    cdef Py_ssize_t i
    for i in range(len(parts)):
        borrow(parts[i], &b)
        try:
            if b.len % DIGEST_LEN != 0 or not (whole or b.len == DIGEST_LEN):
                raise make_error(HFT_E_ARGUMENT, f"{b.len} bytes; an id has {DIGEST_LEN}", None)
            if whole:
                PyByteArray_Resize(ids, b.len)
            memcpy(PyByteArray_AS_STRING(ids) + DIGEST_LEN * i, b.data, <size_t>b.len)
        finally:
            give_back(&b)
    if len(ids) == 0:
        raise make_error(HFT_E_ARGUMENT, "no transaction ids", None)
    return ids


def merkle_root(txids, /):
    """Bitcoin's merkle root of a block's transactions, 32 bytes.

    txids: an iterable of ids of 32 bytes, or one bytes-like object of 32 bytes each; in internal byte order, as in the
    block (explorers show the reverse). With wtxids, the first being 32 zero bytes, it is the root of BIP 141.
    Raises ConfigError (a ValueError) if there is none, or one is not 32 bytes long. Raises RemoteProtocolError if ids
    repeat in such a way that another list of transactions has the same root (CVE-2012-2459): no valid block has them.
    """
    cdef bytearray ids = copied_ids(txids)
    cdef bytes result = new_bytes(DIGEST_LEN)
    cdef uint8_t *root = <uint8_t *>PyBytes_AS_STRING(result)
    cdef uint8_t *level = <uint8_t *>PyByteArray_AS_STRING(ids)
    cdef size_t n = <size_t>len(ids) // DIGEST_LEN
    cdef int repeated
    if len(ids) < NOGIL_MIN:
        repeated = hft_merkle_root(root, level, n)
    else:
        with nogil:
            repeated = hft_merkle_root(root, level, n)
    check(HFT_E_BTC_REPEATED if repeated else 0)
    return result


# ---- message authentication codes ----

cdef class Mac:
    """What HmacSha256, HmacSha256Prefix and HmacSha512 have in common; not to be made by itself.

    The key is not kept, what was derived from it is wiped when the object goes. It is not in the repr, and the object
    cannot be pickled or copied. Threads may share an object.
    """

    cdef int put(self, uint8_t *out, object msg) except -1:
        raise TypeError("Mac has no key: use HmacSha256 or HmacSha512")

    def digest(self, msg, /):
        """The MAC of a message, ``digest_size`` bytes."""
        cdef bytes result = new_bytes(self.digest_size)
        self.put(<uint8_t *>PyBytes_AS_STRING(result), msg)
        return result

    def hex(self, msg, /):
        """The MAC as lower-case hexadecimal digits, two a byte."""
        cdef uint8_t mac[MAC_MAX]
        self.put(mac, msg)
        return hex_text(mac, self.digest_size)

    def base64(self, msg, /):
        """The MAC in base64 with padding (RFC 4648 section 4): 44 characters for SHA-256, 88 for SHA-512."""
        cdef uint8_t mac[MAC_MAX]
        self.put(mac, msg)
        return base64_text(mac, self.digest_size)

    def verify(self, msg, mac, /, *, length=None):
        """Whether mac is the MAC of msg; takes the same time wherever they differ.

        A mac of any other length than digest_size is not. Where a protocol truncates MACs (RFC 2104 section 5), length
        says to how many bytes, 16 at least: then mac must be that long and equal the first bytes.
        Raises ConfigError (a ValueError) for another length.
        """
        cdef uint8_t expected[MAC_MAX]
        cdef Borrowed b
        cdef Py_ssize_t size = self.digest_size if length is None else length
        if size < TRUNCATED_MIN or size > <Py_ssize_t>self.digest_size:
            raise make_error(HFT_E_ARGUMENT, f"length {size}: {TRUNCATED_MIN} to {self.digest_size}", None)
        borrow(mac, &b)
        try:
            self.put(expected, msg)
            return b.len == size and hft_equal_ct(expected, b.data, <size_t>size) == 1
        finally:
            give_back(&b)
            hft_wipe(expected, sizeof(expected))

    def __repr__(self):
        return f"{type(self).__name__}(***)"

    def __reduce_ex__(self, protocol, /):
        raise TypeError(f"{type(self).__name__} holds a key: it cannot be pickled or copied")


cdef class HmacSha256(Mac):
    """HMAC-SHA-256 (RFC 2104, RFC 4231) under one key, whose two padded blocks are hashed once, here."""

    def __cinit__(self, key, /):
        cdef Borrowed b
        self.digest_size = DIGEST_LEN
        borrow(key, &b)
        hft_hmac_key_init(&self.key, b.data, <size_t>b.len)
        give_back(&b)

    def __dealloc__(self):
        hft_wipe(&self.key, sizeof(self.key))

    cdef int put(self, uint8_t *out, object msg) except -1:
        cdef Borrowed b
        borrow(msg, &b)
        if b.len < NOGIL_MIN:
            hft_hmac_digest(out, &self.key, b.data, <size_t>b.len)
        else:
            with nogil:
                hft_hmac_digest(out, &self.key, b.data, <size_t>b.len)
        give_back(&b)
        return 0

    def many(self, messages, /, *, out=None):
        """The MACs of an iterable of messages, 32 bytes each, one after the other.

        With out, a writable buffer of 32 bytes a message or more, they are written to its beginning instead, and the
        number of messages is returned. Raises what sha256_many raises.
        """
        return hash_list(hft_hmac_many, &self.key, messages, out)

    def prefix(self, constant, /):
        """The same key, for messages that all begin with constant: its methods take what follows, and hash only that.

        Whole blocks of 64 bytes are hashed ahead, so put as much as possible of what does not change in front.
        """
        return HmacSha256Prefix(self, constant)


cdef class HmacSha256Prefix(Mac):
    """HMAC-SHA-256 of messages with a constant beginning, under the key of mac; see HmacSha256.prefix.

    Its methods take what follows the beginning. It holds its own copy of what was derived from the key and the
    beginning, so it outlives mac, and wipes it when it goes.
    """

    def __cinit__(self, HmacSha256 mac not None, constant, /):
        cdef Borrowed b
        self.digest_size = DIGEST_LEN
        borrow(constant, &b)
        self.key = mac.key
        hft_hmac_stem_init(&self.stem, &self.key, b.data, <size_t>b.len)
        give_back(&b)

    def __dealloc__(self):
        hft_wipe(&self.key, sizeof(self.key))
        hft_wipe(&self.stem, sizeof(self.stem))

    cdef int put(self, uint8_t *out, object msg) except -1:
        cdef Borrowed b
        borrow(msg, &b)
        if b.len < NOGIL_MIN:
            hft_hmac_stem_digest(out, &self.key, &self.stem, b.data, <size_t>b.len)
        else:
            with nogil:
                hft_hmac_stem_digest(out, &self.key, &self.stem, b.data, <size_t>b.len)
        give_back(&b)
        return 0


cdef class HmacSha512(Mac):
    """HMAC-SHA-512 (RFC 2104, RFC 4231) under one key, whose two padded blocks are hashed once, here, by OpenSSL.

    Kraken's REST API signs with it; the key is the secret decoded from base64. Raises HftError if OpenSSL offers no
    SHA-512, LimitExceeded if memory runs out.
    """

    def __cinit__(self, key, /):
        cdef Borrowed b
        cdef int rc
        self.digest_size = HFT_HMAC512_LEN
        borrow(key, &b)
        rc = hft_hmac512_open(&self.state, b.data, <size_t>b.len)
        give_back(&b)
        check(rc, "HMAC-SHA-512 through OpenSSL")

    def __dealloc__(self):
        hft_hmac512_close(&self.state)

    cdef int put(self, uint8_t *out, object msg) except -1:
        cdef Borrowed b
        cdef int rc
        borrow(msg, &b)
        if b.len < NOGIL_MIN:
            rc = hft_hmac512_digest(out, &self.state, b.data, <size_t>b.len)
        else:
            with nogil:
                rc = hft_hmac512_digest(out, &self.state, b.data, <size_t>b.len)
        give_back(&b)
        return check(rc, "HMAC-SHA-512 through OpenSSL")


init_core()
