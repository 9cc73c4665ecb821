# cython: language_level=3
cimport cython

from cdc cimport event as changes
from cdc cimport rows
from cdc.event cimport ChangeEvent, Transaction
from cdc.rows cimport RawRow, RowLayout
from connectors.postgres.blocks cimport Block

cdef int _HEADER
cdef int _BEGIN_BYTES
cdef int _COMMIT_BYTES
cdef object _UNCHANGED
cdef bint _DIRECT

cdef class Table:
    cdef public object schema
    cdef readonly RowLayout layout
    cdef readonly tuple in_identity
    cdef readonly Py_ssize_t width

cdef class Decoder:
    cdef public dict tables
    cdef public Block block
    cdef readonly Transaction transaction
    cdef readonly Py_ssize_t index
    cdef readonly long long count
    cdef readonly long long ordinal
    cdef readonly long long skip
    cdef public bint follows
    cdef readonly unsigned long long lsn
    cdef readonly object prior_commit
    cdef readonly bytes opened
    cdef Py_ssize_t _pos
    cdef bint _partial

    cpdef begin(self, Transaction transaction, long long skip)

    cpdef end(self)

    cpdef follow(self, unsigned long long lsn, object prior_commit)

    @cython.locals(xid="unsigned int", us="long long")
    cdef bint _is_begun(self, bytes data) except -1

    cdef bint _is_ended(self, bytes data) except -1

    @cython.locals(data=bytes, stop=Py_ssize_t, kind=int)
    cpdef decode(self, list payloads, Py_ssize_t index, list events)

    @cython.locals(oid="unsigned int", table=Table, ordinal="long long", before=RawRow, after=RawRow)
    cdef _change(self, bytes data, int kind, list events)

    @cython.locals(mark=int, row=RawRow, raw=list, index=Py_ssize_t)
    cdef RawRow _old_row(self, bytes data, int kind, Table table)

    @cython.locals(
        end=Py_ssize_t, pos=Py_ssize_t, start=Py_ssize_t, behind=Py_ssize_t, width=Py_ssize_t,
        bytes_at="const unsigned char*", raw=list,
    )
    cdef RawRow _row(self, bytes data, int kind, int mark, Table table)

    @cython.locals(tables="unsigned int", number=Py_ssize_t, oid="unsigned int", table=Table)
    cdef _truncate(self, bytes data, list events)

@cython.locals(new=list, old=list, index=Py_ssize_t)
cdef RawRow _completed(RawRow after, RawRow before)

@cython.locals(number="unsigned long long")
cdef unsigned long long _uint32(bytes data, Py_ssize_t pos) except? 0

@cython.locals(high="unsigned long long")
cdef unsigned long long _uint64(bytes data, Py_ssize_t pos) except? 0
