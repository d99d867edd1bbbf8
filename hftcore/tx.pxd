from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hftcore.libhft.btc cimport hft_btc_input, hft_btc_tx, hft_btc_witness


cdef inline str display(const uint8_t *wire_hash):
    return PyBytes_FromStringAndSize(<const char *>wire_hash, 32)[::-1].hex()


# Outputs and inputs keep the transaction's bytes alive and say where in them they lie. None of these objects can be
# part of a cycle, so the garbage collector need not know them.
cdef class TxOut:
    cdef bytes _raw
    cdef readonly uint64_t value
    cdef uint32_t _script_pos
    cdef uint32_t _script_len


cdef class TxIn:
    cdef bytes _raw
    cdef object _owner
    cdef hft_btc_input _input        # views into _raw
    cdef hft_btc_witness _witness


cdef class Transaction:
    cdef readonly bytes raw
    cdef hft_btc_tx tx
    cdef str _txid
    cdef str _wtxid
    cdef tuple _inputs
    cdef tuple _outputs

    cdef int _hash(self) except -1


cdef class Block:
    cdef readonly bytes raw
    cdef bytes _edges                # uint32_t for each transaction, where it begins; and where the last one ends
    cdef tuple _transactions
    cdef object _merkle_root_matches
