# cython: language_level=3
cimport cython

cdef int _HEADER

cdef class Block:
    cdef readonly bytearray frames
    cdef readonly list starts
    cdef readonly list relations
    cdef unsigned int _xid

    @cython.locals(kind=int, xid="unsigned int")
    cpdef keep(self, bytes data)

    @cython.locals(frames=bytearray, size=Py_ssize_t)
    cdef _add(self, bytes xid, bytes head, bytes rest)

@cython.locals(end=Py_ssize_t, taken=Py_ssize_t, size=Py_ssize_t, begin=Py_ssize_t)
cpdef Py_ssize_t unframe(
    bytes frames, Py_ssize_t position, Py_ssize_t messages_max, object gone, list payloads
) except -1

@cython.locals(number="unsigned long long")
cdef unsigned long long _uint32(bytes data, Py_ssize_t pos) except? 0
