"""Which scriptPubKeys are watched, and whose they are."""

import csv

import cython

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset
from posix.stdlib cimport posix_memalign

from hftcore._status cimport check, init_core
from hftcore.libhft.status cimport HFT_E_MEMORY, HFT_E_STATE, HFT_E_WATCH_FULL
from hftcore.libhft.watch cimport hft_watch, hft_watch_add, hft_watch_find, hft_watch_init, hft_watch_size

from hftcore.addresses import decode_address, get_network
from hftcore.errors import ConfigError

__all__ = ["WatchTable"]

init_core()

cdef uint64_t WATCH_CAP_MAX = 1 << 24
cdef Py_ssize_t LABEL_MAX = 64


cdef bytes as_bytes(object data):
    return data if type(data) is bytes else memoryview(data).tobytes()


cdef const uint8_t *ptr(bytes data) noexcept:
    return <const uint8_t *>PyBytes_AS_STRING(data)


@cython.final
cdef class WatchTable:
    """Which scriptPubKeys are watched, and whose they are.

    capacity: scripts to make room for; the table grows as needed until an Engine takes it, and is frozen from then on.
    """

    def __cinit__(self, capacity=4096):
        self._memory = NULL
        memset(&self.watch, 0, sizeof(self.watch))
        self.label_names = []
        self.scripts = []
        self._label_numbers = {}
        self._conflicts = []
        if not 0 < capacity <= WATCH_CAP_MAX:
            raise ConfigError(f"capacity: 1 to {WATCH_CAP_MAX}")
        self._resize(capacity)

    def __dealloc__(self):
        free(self._memory)

    @staticmethod
    def from_csv(path, network="mainnet"):
        """A table from a CSV file (UTF-8) whose header line names the columns `address` and `label` or `exchange`.

        Other columns are ignored, empty lines too. Every line that cannot be used is reported, with its number and the
        reason, in one ConfigError. Where two lines name different labels for one script, the first counts and
        `conflicts` says so. OSError where the file cannot be read.
        """
        get_network(network)
        table = WatchTable()
        faults = []
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                fill_from_csv(table, csv.reader(file, strict=True), network, faults)
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8 text ({error.reason})") from None
        if faults:
            lines = "line" if len(faults) == 1 else "lines"
            raise ConfigError("\n".join([f"{path}: {len(faults)} {lines} cannot be used", *faults]))
        return table

    cdef int _resize(self, uint64_t cap) except -1:
        cdef hft_watch grown
        cdef size_t size = hft_watch_size(<uint32_t>cap) if cap <= WATCH_CAP_MAX else 0
        cdef uint32_t i
        cdef bytes script
        cdef int64_t label
        if size == 0:
            check(HFT_E_WATCH_FULL, f"{self.watch.n_entries} scripts")
        cdef void *memory = NULL
        if posix_memalign(&memory, 64, size) != 0:
            check(HFT_E_MEMORY, f"watch table of {size} bytes")
        try:
            check(hft_watch_init(&grown, memory, <uint32_t>cap))
            for i in range(self.watch.n_entries):
                script = self.scripts[i]
                label = hft_watch_find(&self.watch, ptr(script), <size_t>PyBytes_GET_SIZE(script), NULL)
                check(hft_watch_add(&grown, ptr(script), <size_t>PyBytes_GET_SIZE(script), <uint32_t>label))
        except BaseException:
            free(memory)
            raise
        free(self._memory)
        self._memory = memory
        self.watch = grown
        return 0

    def add(self, script, label):
        """Watches `script` (scriptPubKey, 1 to 10,000 bytes) as belonging to `label` (1 to 64 printable characters).

        True if it is new, False if it was there with this label. Raises ConfigError (HFT_E_WATCH_CONFLICT) if it was
        there with another, LimitExceeded (HFT_E_WATCH_FULL) over 2**24 scripts, HftError (HFT_E_STATE) once an engine
        has the table.
        """
        cdef bytes data = as_bytes(script)
        cdef size_t size = <size_t>PyBytes_GET_SIZE(data)
        if self.frozen:
            check(HFT_E_STATE, "the watch table belongs to an engine")
        if not isinstance(label, str) or not 0 < len(label) <= LABEL_MAX or not label.isprintable():
            raise ConfigError(f"label {label!r}: 1 to {LABEL_MAX} printable characters")
        number = self._label_numbers.get(label, len(self.label_names))
        cdef int rc = hft_watch_add(&self.watch, ptr(data), size, number)
        if rc == HFT_E_WATCH_FULL:
            self._resize(2 * <uint64_t>self.watch.cap)
            rc = hft_watch_add(&self.watch, ptr(data), size, number)
        check(rc)
        if rc == 0:
            return False
        self.scripts.append(data)
        if number == len(self.label_names):
            self.label_names.append(label)
            self._label_numbers[label] = number
        return True

    def add_address(self, text, label, network="mainnet"):
        """add() for the script of an address; ConfigError as decode_address()."""
        return self.add(decode_address(text, network), label)

    def find(self, script):
        """The label of `script`, or None if it is not watched."""
        cdef Py_buffer view
        cdef int64_t number
        PyObject_GetBuffer(script, &view, PyBUF_SIMPLE)
        try:
            number = hft_watch_find(&self.watch, <const uint8_t *>view.buf, <size_t>view.len, NULL)
        finally:
            PyBuffer_Release(&view)
        return None if number < 0 else self.label_names[number]

    @property
    def labels(self):
        """All labels, in the order of their first script."""
        return tuple(self.label_names)

    @property
    def conflicts(self):
        """What from_csv() left out because the script already had another label: one text for each line."""
        return tuple(self._conflicts)

    def __len__(self):
        return self.watch.n_entries

    def __repr__(self):
        return f"<WatchTable: {self.watch.n_entries} scripts, {len(self.label_names)} labels>"


cdef int fill_from_csv(WatchTable table, object reader, str network, list faults) except -1:
    header = next(reader, [])
    columns = {name.strip().lower(): i for i, name in enumerate(header)}
    address_at = columns.get("address")
    label_at = columns.get("label", columns.get("exchange"))
    if address_at is None or label_at is None:
        faults.append("line 1: the header must name the columns `address` and `label` or `exchange`")
        return 0
    while True:
        try:
            row = next(reader, None)
            if row is None:
                return 0
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise ConfigError(f"{len(row)} fields, the header has {len(header)}")
            address, label = row[address_at].strip(), row[label_at].strip()
            script = decode_address(address, network)
            known = table.find(script)
            if known is None or known == label:
                table.add(script, label)
            else:
                table._conflicts.append(f"line {reader.line_num}: {address} is watched as {known!r}, not {label!r}")
        except (ConfigError, csv.Error) as error:
            faults.append(f"line {reader.line_num}: {error}")
