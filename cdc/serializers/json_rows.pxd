cimport cython
from cdc.event cimport RawRow, RowLayout
from cdc.serializers.json_text cimport Scratch

cdef bint _DIRECT
cdef int _INTEGER
cdef int _STRING
cdef bytes _PLAIN
cdef object UNCHANGED


@cython.final
cdef class ColumnPlan:
    cdef readonly Py_ssize_t index
    cdef readonly bytes fragment
    cdef readonly int way
    cdef readonly int parameter
    cdef object write
    cdef bytes null
    cdef bint null_lost
    cdef bytes fallback
    cdef bytes unavailable


@cython.final
cdef class RowPlan:
    cdef readonly list columns
    cdef readonly list key
    cdef bytes key_end
    cdef str where
    cdef readonly list ways
    cdef RowLayout _layout

    cpdef enter(self, RowLayout layout)


@cython.final
cdef class RowWriter:
    cdef Scratch _scratch
    cdef readonly object unchanged
    cdef readonly object nulls

    cpdef row(self, RowPlan plan, object row, bint old, list out)

    @cython.locals(out=list)
    cpdef bytes key(self, RowPlan plan, object row)

    @cython.locals(raw_row=RawRow, scratch=Scratch, column=ColumnPlan, index=Py_ssize_t, way=int,
                   ways=list, text=bytes, raw=list)
    cdef _columns(self, RowPlan plan, list columns, object row, bint old, list out)


cdef bint _is_integer(bytes text, int bits)
