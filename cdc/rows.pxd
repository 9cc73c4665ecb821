# Fields are public because they are in plain Python: both forms must behave alike.

cimport cython

cdef object _UNCHANGED

# No object here can be part of a cycle, and there is one of most of them for each change: they are
# kept from the cyclic collector, and their memory is used again.


@cython.no_gc
cdef class RowLayout:
    cdef readonly tuple decoders
    cdef readonly tuple forms
    cdef readonly Py_ssize_t width


@cython.no_gc
@cython.freelist(1024)
cdef class RawRow:
    cdef readonly RowLayout layout
    cdef readonly bytes packed
    cdef readonly Py_ssize_t start
    cdef readonly list kept

    @cython.locals(raw=list)
    cpdef list values(self)


@cython.locals(row=RawRow)
cpdef RawRow raw_row(RowLayout layout, list raw)

@cython.locals(row=RawRow)
cpdef RawRow packed_row(RowLayout layout, bytes packed, Py_ssize_t start)

@cython.locals(form=int, size=Py_ssize_t)
cpdef Py_ssize_t place_behind(const unsigned char* packed, Py_ssize_t place, Py_ssize_t end) noexcept

@cython.locals(size=Py_ssize_t)
cdef Py_ssize_t length_at(const unsigned char* packed, Py_ssize_t place) noexcept

@cython.locals(form=int, size=Py_ssize_t, raw=list)
cpdef list unpacked(bytes packed, Py_ssize_t place, Py_ssize_t width)

@cython.locals(raw=list)
cpdef list cut(bytes packed, Py_ssize_t place, Py_ssize_t width)
