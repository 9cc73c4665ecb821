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
    cdef _add(self, bytes head, bytes rest)

@cython.locals(end=Py_ssize_t, taken=Py_ssize_t, size=Py_ssize_t)
cpdef Py_ssize_t unframe(bytes frames, Py_ssize_t position, Py_ssize_t messages_max, list payloads) except -1
