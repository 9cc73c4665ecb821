cimport cython
from cdc cimport rows
from cdc.rows cimport RawRow, RowLayout
from cdc.serializers.json_text cimport Scratch

cdef bint _DIRECT
cdef object UNCHANGED
cdef object _ONE


@cython.final
cdef class ColumnPlan:
    cdef readonly Py_ssize_t index
    cdef readonly bytes fragment
    cdef readonly int way
    cdef readonly int parameter
    cdef readonly int taken
    cdef object plain
    cdef object decode
    cdef object write
    cdef bytes null
    cdef bint null_lost
    cdef bytes fallback
    cdef bytes unavailable

    cpdef enter(self, RowLayout layout)


@cython.final
cdef class RowPlan:
    cdef readonly list columns
    cdef readonly list key
    cdef bytes key_end
    cdef str where
    cdef RowLayout _layout

    @cython.locals(column=ColumnPlan)
    cpdef enter(self, RowLayout layout)


@cython.final
cdef class RowWriter:
    cdef readonly Scratch text
    cdef readonly object unchanged
    cdef readonly object nulls

    cpdef row(self, RowPlan plan, object row, bint old)

    cpdef bytes key(self, RowPlan plan, object row)

    @cython.locals(raw_row=RawRow)
    cdef _columns(self, RowPlan plan, list columns, object row, bint old)

    @cython.locals(column=ColumnPlan)
    cdef _decoded(self, list columns, object row, bint old)

    @cython.locals(column=ColumnPlan, text=Scratch)
    cdef _listed(self, list columns, list raw, bint old)

    @cython.locals(column=ColumnPlan)
    cdef _plainly(self, list columns, list raw, bint old)

    @cython.locals(
        column=ColumnPlan, text=Scratch, packed=bytes, sent="const unsigned char*", place=Py_ssize_t,
        index=Py_ssize_t, size=Py_ssize_t, value=bytes,
    )
    cdef _packed(self, list columns, RawRow row, bint old)

    cdef _missing(self, ColumnPlan column, bint null, bint old)

