"""Which scriptPubKeys are watched, and whose they are: tables built in memory, and files of millions of scripts."""

import json
import os
import secrets
import stat
import tempfile
from collections import namedtuple

import cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.mman cimport (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
    PROT_WRITE,
    madvise,
    mlock,
    mmap,
    munmap,
)

from hftcore._buffer cimport Borrowed, as_bytes, borrow, give_back, ptr
from hftcore._status cimport check, check_err, init_core
from hftcore.libhft.status cimport (
    HFT_E_MEMORY,
    HFT_E_STATE,
    HFT_E_WATCH_CONFLICT,
    HFT_E_WATCH_DAMAGED,
    HFT_E_WATCH_FORMAT,
    HFT_E_WATCH_FULL,
    hft_err,
)
from hftcore.libhft.watch cimport (
    HFT_WATCH_CAP_MAX,
    HFT_WATCH_HEADER_LEN,
    HFT_WATCH_KEY_WORDS,
    hft_watch,
    hft_watch_add,
    hft_watch_attach,
    hft_watch_copy,
    hft_watch_file,
    hft_watch_find,
    hft_watch_index,
    hft_watch_init,
    hft_watch_origin,
    hft_watch_put_header,
    hft_watch_records,
    hft_watch_set,
    hft_watch_size,
    hft_watch_verify,
)

from hftcore.addresses import decode_address, get_network
from hftcore.errors import ConfigError, LimitExceeded

cdef extern from "<sys/mman.h>" nogil:
    int MADV_HUGEPAGE

__all__ = ["FILE_MAGIC", "LABEL_MAX", "SOURCE_MAX", "WatchEntry", "WatchTable"]

init_core()

FILE_MAGIC = b"hftwatch"  # what a file begins with
LABEL_MAX = 64
SOURCE_MAX = 256
cdef Py_ssize_t ORIGINS_MAX = 1 << 16
cdef size_t HUGE = 2 << 20

WatchEntry = namedtuple("WatchEntry", ("label", "source", "priority"), module=__name__)
WatchEntry.__doc__ = "What a table knows of a script: whose it is, who says so, and how much that list counts."


cdef void *take_memory(size_t size) except NULL:
    """Zeroed memory; of huge pages if it is large, because a lookup in small ones waits for their addresses too."""
    cdef void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if memory == MAP_FAILED:
        check(HFT_E_MEMORY, f"watch table of {size} bytes")
    if size >= HUGE:
        madvise(memory, size, MADV_HUGEPAGE)  # where the system denies it, small pages do
    return memory


cdef object view_of(const void *data, size_t size):
    return PyMemoryView_FromMemory(<char *>data, <Py_ssize_t>size, 0x100)  # PyBUF_READ


cdef bint is_text(object text, Py_ssize_t least, Py_ssize_t most):
    return isinstance(text, str) and least <= len(text) <= most and text.isprintable()


@cython.final
cdef class WatchTable:
    """Which scriptPubKeys are watched, and whose they are.

    capacity: scripts to make room for; the table grows as needed, up to 2**24, until an Engine takes it, and is frozen
    from then on. One that open() gives is frozen from the beginning.
    """

    def __cinit__(self, capacity=4096):
        self._memory = NULL
        self._file = -1
        memset(&self.watch, 0, sizeof(self.watch))
        self.label_names = []
        self._label_numbers = {}
        self._origins = [("", 0)]
        self._origin_numbers = {("", 0): 0}
        if not 0 < capacity <= HFT_WATCH_CAP_MAX:
            raise ConfigError(f"capacity: 1 to {HFT_WATCH_CAP_MAX}")
        self._become(&self.watch, capacity)

    def __dealloc__(self):
        self._release()

    # ---- memory ----

    cdef int _release(self) except -1:
        if self._memory != NULL:
            munmap(self._memory, self._mapped)
            self._memory = NULL
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        return 0

    cdef int _become(self, const hft_watch *source, uint64_t cap) except -1:
        """Makes this a copy of `source`, which may be its own table, with room for `cap` scripts."""
        cdef hft_watch grown
        cdef size_t size = hft_watch_size(<uint32_t>cap) if cap <= HFT_WATCH_CAP_MAX else 0
        cdef bytes key = secrets.token_bytes(HFT_WATCH_KEY_WORDS * 8)
        cdef const uint64_t *words = <const uint64_t *>ptr(key)
        cdef int rc
        if size == 0:
            check(HFT_E_WATCH_FULL, f"{source.n_entries} scripts")
        cdef void *memory = take_memory(size)
        with nogil:
            rc = hft_watch_init(&grown, memory, <uint32_t>cap, words)
            if rc == 0:
                rc = hft_watch_copy(&grown, source)
        if rc < 0:
            munmap(memory, size)
            check(rc)
        self._release()
        self._memory = memory
        self._mapped = size
        self.watch = grown
        return 0

    def lock(self):
        """Keeps the table in memory, whatever else needs it (mlock). Raises OSError where RLIMIT_MEMLOCK is too low."""
        if mlock(self._memory, self._mapped) != 0:
            raise OSError(f"{self._mapped} bytes of watch table cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l)")
        self._locked = True

    cdef int hand_over(self, str network) except -1:
        if self.network is not None and self.network != network:
            raise ConfigError(f"the watch table was built for {self.network}, not for {network}")
        self.load()
        self.frozen = True
        return 0

    # ---- building ----

    @staticmethod
    def from_csv(path, network="mainnet"):
        """A table from a CSV file (UTF-8) whose header line names the columns `address` and `label` or `exchange`.

        The columns `source` and `priority` are taken where they are, others ignored, empty lines too. Every line that
        cannot be used is reported, with its number and the reason, in one ConfigError. OSError where the file cannot
        be read. hftcore.address_lists reads other formats, and reports where lines contradict each other.
        """
        from hftcore.address_lists import read_table

        return read_table([path], network, form="csv")

    cdef uint32_t _label_number(self, object label) except? 0xffffffff:
        number = self._label_numbers.get(label)
        if number is None:
            if not is_text(label, 1, LABEL_MAX):
                raise ConfigError(f"label {label!r}: 1 to {LABEL_MAX} printable characters")
            number = len(self.label_names)
        return number

    cdef uint32_t _origin_number(self, object source, object priority) except? 0xffffffff:
        number = self._origin_numbers.get((source, priority))
        if number is None:
            if not is_text(source, 0, SOURCE_MAX):
                raise ConfigError(f"source {source!r}: up to {SOURCE_MAX} printable characters")
            if not isinstance(priority, int) or not -(1 << 31) <= priority < 1 << 31:
                raise ConfigError(f"priority {priority!r}: a whole number of 32 bits")
            number = len(self._origins)
            if number == ORIGINS_MAX:
                raise LimitExceeded(f"more than {ORIGINS_MAX} different sources and priorities")
            self._origins.append((source, priority))
            self._origin_numbers[(source, priority)] = number
        return number

    cdef int _add(self, const uint8_t *script, size_t size, uint32_t label) except? -1:
        cdef int rc = hft_watch_add(&self.watch, script, size, label)
        cdef uint64_t cap = self.watch.cap, most = HFT_WATCH_CAP_MAX
        if rc == HFT_E_WATCH_FULL:
            self._become(&self.watch, min(2 * cap, most) if cap < most else 2 * most)
            rc = hft_watch_add(&self.watch, script, size, label)
        return rc

    def add(self, script, label, source="", priority=0):
        """Watches `script` (scriptPubKey, 1 to 10,000 bytes) as belonging to `label` (1 to 64 printable characters).

        source: who says so, up to 256 printable characters; priority: see put(). True if the script is new, False if it
        was there with this label. Raises ConfigError (HFT_E_WATCH_CONFLICT) if it was there with another, LimitExceeded
        (HFT_E_WATCH_FULL) over 2**24 scripts, HftError (HFT_E_STATE) once the table is frozen.
        """
        cdef bytes data = as_bytes(script)
        cdef uint32_t number, origin
        cdef int rc
        if self.frozen:
            check(HFT_E_STATE, "the watch table is frozen")
        number = self._label_number(label)
        origin = self._origin_number(source, priority)
        rc = check(self._add(ptr(data), <size_t>PyBytes_GET_SIZE(data), number))
        if rc == 1:
            check(hft_watch_set(&self.watch, self.watch.n_entries - 1, number, <uint16_t>origin))
            self._know(label, number)
        return rc == 1

    def _know(self, label, number):
        if number == len(self.label_names):
            self.label_names.append(label)
            self._label_numbers[label] = number

    def put(self, script, label, source="", priority=0):
        """add(), but where the script has another label, the higher priority counts, or else who came first.

        Returns None, or, where two labels met, the WatchEntry that lost. Where the label is the same, the source with
        the higher priority is kept.
        """
        cdef bytes data = as_bytes(script)
        cdef size_t size = <size_t>PyBytes_GET_SIZE(data)
        cdef uint32_t number, origin, entry = 0
        cdef int rc
        cdef int64_t known
        if self.frozen:
            check(HFT_E_STATE, "the watch table is frozen")
        number = self._label_number(label)
        origin = self._origin_number(source, priority)
        rc = self._add(ptr(data), size, number)
        if rc == 1:
            check(hft_watch_set(&self.watch, self.watch.n_entries - 1, number, <uint16_t>origin))
            self._know(label, number)
            return None
        if rc != HFT_E_WATCH_CONFLICT:
            check(rc)
        known = hft_watch_find(&self.watch, ptr(data), size, &entry)
        before = self._entry_of(entry, <uint32_t>known)
        if priority <= before.priority:
            return WatchEntry(label, source, priority) if rc < 0 else None
        check(hft_watch_set(&self.watch, entry, number, <uint16_t>origin))
        self._know(label, number)
        return before if rc < 0 else None

    def add_address(self, text, label, network="mainnet", source="", priority=0):
        """add() for the script of an address; ConfigError as decode_address()."""
        return self.add(decode_address(text, network), label, source, priority)

    # ---- asking ----

    cdef object _entry_of(self, uint32_t entry, uint32_t label):
        cdef uint16_t origin = hft_watch_origin(&self.watch, entry)
        source, priority = self._origins[origin] if origin < len(self._origins) else ("", 0)
        return WatchEntry(self.label_names[label], source, priority)

    cdef int64_t _find(self, object script, uint32_t *entry) except -2:
        cdef Borrowed b
        borrow(script, &b)
        try:
            return hft_watch_find(&self.watch, <const uint8_t *>b.data, <size_t>b.len, entry)
        finally:
            give_back(&b)

    def find(self, script):
        """The label of `script`, or None if it is not watched."""
        cdef int64_t number = self._find(script, NULL)
        return None if number < 0 else self.label_names[number]

    def lookup(self, script):
        """The WatchEntry of `script`, or None if it is not watched."""
        cdef uint32_t entry = 0
        cdef int64_t number = self._find(script, &entry)
        return None if number < 0 else self._entry_of(entry, <uint32_t>number)

    @property
    def labels(self):
        """All labels, in the order of their first script."""
        return tuple(self.label_names)

    def __len__(self):
        return self.watch.n_entries

    def __repr__(self):
        return f"<WatchTable: {self.watch.n_entries} scripts, {len(self.label_names)} labels>"

    # ---- files ----

    def save(self, path, network="mainnet"):
        """Writes the table to a file for open(); whoever has an earlier file of that name open keeps that one.

        The file is written beside `path`, synced and then renamed. network: which one the scripts are meant for.
        """
        cdef WatchTable exact = self
        cdef size_t index_len, records_len
        cdef const void *index
        cdef const void *records
        cdef uint8_t head[HFT_WATCH_HEADER_LEN]
        cdef bytes names, network_text = get_network(network).name.encode()
        cdef int rc
        cdef size_t names_len
        cdef const uint8_t *names_at
        cdef const char *network_at = PyBytes_AS_STRING(network_text)
        if self.watch.n_entries < self.watch.cap:
            exact = WatchTable(1)
            exact._become(&self.watch, max(1, self.watch.n_entries))
        names = json.dumps({"labels": self.label_names, "origins": self._origins}, ensure_ascii=False).encode()
        names_at, names_len = ptr(names), <size_t>PyBytes_GET_SIZE(names)
        with nogil:
            rc = hft_watch_put_header(head, &exact.watch, network_at, names_at, names_len)
        check(rc)
        index, records = hft_watch_index(&exact.watch, &index_len), hft_watch_records(&exact.watch, &records_len)
        parts = (PyBytes_FromStringAndSize(<const char *>head, HFT_WATCH_HEADER_LEN), view_of(index, index_len),
                 view_of(records, records_len), names)
        path = os.fspath(path)
        descriptor, partial = tempfile.mkstemp(prefix=os.path.basename(path) + ".", dir=os.path.dirname(path) or ".")
        try:
            with open(descriptor, "wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise

    @staticmethod
    def open(path):
        """The table in a file that save() wrote. It is mapped, not read: this takes no time, whatever its size.

        Its header is checked, and lookups are safe whatever the rest holds; load() checks that too. The file must keep
        its length while it is open: replace it as save() does, for cutting it off ends the process (SIGBUS). load() and
        an engine take a copy, which nothing can touch. Raises ConfigError
        (HFT_E_WATCH_FORMAT: no such file or another version; HFT_E_WATCH_DAMAGED), OSError.
        """
        cdef WatchTable table = WatchTable(1)
        cdef void *memory
        cdef size_t size
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError(f"{os.fspath(path)}: not a regular file")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if size == 0:
                    check(HFT_E_WATCH_FORMAT, "it is empty")
                memory = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0)
                if memory == MAP_FAILED:
                    check(HFT_E_MEMORY, f"{os.fspath(path)} cannot be mapped")
                table._attach(memory, size)
            except ConfigError as error:
                raise ConfigError(f"{os.fspath(path)}: {error}", code=error.code, name=error.name) from None
            table._file = descriptor
        except BaseException:
            os.close(descriptor)
            raise
        return table

    cdef int _attach(self, void *memory, size_t size) except -1:
        """Takes over memory that holds a file, or gives it back and raises."""
        cdef hft_watch attached
        cdef hft_watch_file file
        cdef hft_err err
        memset(&err, 0, sizeof(err))
        try:
            check_err(hft_watch_attach(&attached, &file, memory, size, &err), &err)
            text = PyBytes_FromStringAndSize(<const char *>file.names, <Py_ssize_t>file.names_len)
            labels, origins = read_names(text)
            if len(labels) != attached.n_labels or (attached.n_entries and not labels):
                check(HFT_E_WATCH_DAMAGED, "its labels are not those of its scripts")
            network = get_network((<bytes>file.network).decode("ascii", "replace")).name
        except BaseException:
            munmap(memory, size)
            raise
        self._release()
        self._memory, self._mapped = memory, size
        self.watch = attached
        self.label_names, self._origins, self.network = labels, origins, network
        self._label_numbers = {}
        self._origin_numbers = {}
        self.frozen = True
        return 0

    def load(self):
        """Reads the file of an open()ed table into memory of this process, and checks all of it.

        Lookups then wait for no disk, nobody who cuts the file off can hurt, and huge pages are used. An Engine does
        this when it takes a table; it takes a second or two for ten million scripts. A table that was built in memory
        is as it should be. Raises ConfigError (HFT_E_WATCH_DAMAGED), OSError.
        """
        cdef void *memory
        cdef size_t size = self._mapped, done = 0
        cdef int rc
        if self._file < 0:
            return
        memory = take_memory(size)
        try:
            view = PyMemoryView_FromMemory(<char *>memory, <Py_ssize_t>size, 0x200)  # PyBUF_WRITE
            while done < size:
                n = os.preadv(self._file, [view[done:done + (1 << 28)]], done)
                if n == 0:
                    check(HFT_E_WATCH_DAMAGED, "it has become shorter")
                done += n
            with nogil:
                rc = hft_watch_verify(memory, size)
            check(rc, "the checksum of its contents is wrong")
        except BaseException:
            munmap(memory, size)
            raise
        self._attach(memory, size)
        if self._locked:
            self.lock()


cdef tuple read_names(bytes text):
    """(labels, origins) of a file. Whatever it holds, the answer is of the right types, or ConfigError is raised."""
    try:
        names = json.loads(text)
        labels = names["labels"]
        origins = [(source, priority) for source, priority in names["origins"]]
        good = isinstance(labels, list) and all(is_text(label, 1, LABEL_MAX) for label in labels)
        good = good and len(set(labels)) == len(labels) and all(
            is_text(source, 0, SOURCE_MAX) and type(priority) is int for source, priority in origins)
    except (KeyError, RecursionError, TypeError, ValueError):
        good = False
    if not good:
        check(HFT_E_WATCH_DAMAGED, "its names cannot be read")
    return labels, origins
