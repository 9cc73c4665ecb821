# cython: language_level=3
cimport cython

from cdc cimport event as changes
from cdc cimport rows
from cdc.event cimport ChangeEvent, Transaction
from cdc.rows cimport RawRow
from connectors.postgres.pgoutput cimport Table

cdef class RowMaker:
    cdef readonly long long ordinal
    cdef Table _table
    cdef Transaction _transaction
    cdef object _position

    @cython.locals(table=Table, row=RawRow, ordinal="long long")
    cpdef ChangeEvent event(self, bytes line, str marker)

    @cython.locals(index=Py_ssize_t)
    cpdef append(self, list lines, Py_ssize_t start, Py_ssize_t stop, list events)

@cython.locals(content=bytes, values=list, value=bytes, index=Py_ssize_t)
cpdef list fields(bytes line, Py_ssize_t width)

cdef bytes _unescaped(bytes value)
