# cython: language_level=3
cimport cython

from cdc cimport event as changes
from cdc cimport memory, rows
from cdc.event cimport ChangeEvent, Transaction
from cdc.rows cimport RawRow
from connectors.postgres.pgoutput cimport Table

cdef bint _DIRECT
cdef bytes _UNESCAPED
cdef const unsigned char* _UNESCAPED_BYTES

cdef class RowMaker:
    cdef bytearray _memory
    cdef readonly long long ordinal
    cdef Table _table
    cdef Transaction _transaction
    cdef object _position

    @cython.locals(table=Table, row=RawRow, ordinal="long long")
    cpdef ChangeEvent event(self, bytes line, str marker)

    @cython.locals(room=Py_ssize_t, size=Py_ssize_t)
    cdef RawRow _row(self, bytes line, Table table)

    @cython.locals(index=Py_ssize_t)
    cpdef append(self, list lines, Py_ssize_t start, Py_ssize_t stop, list events)

@cython.locals(
    end=Py_ssize_t, is_escaped=bint, place=Py_ssize_t, at=Py_ssize_t, index=Py_ssize_t,
    stop=Py_ssize_t, length=Py_ssize_t,
)
cpdef Py_ssize_t pack(const unsigned char* line, Py_ssize_t size, Py_ssize_t width, bytearray out) except? -1

@cython.locals(start=Py_ssize_t, byte=int)
cdef Py_ssize_t _unescape(
    const unsigned char* line, Py_ssize_t place, Py_ssize_t stop, unsigned char* out, Py_ssize_t at
) noexcept

@cython.locals(content=bytes, values=list, value=bytes, index=Py_ssize_t)
cpdef list fields(bytes line, Py_ssize_t width)

cdef bytes _unescaped(bytes value)
