# cython: language_level=3
cimport cython


cdef class Drain:
    cdef public long long size_bytes
    cdef object _get
    cdef object _consume

    @cython.locals(count=Py_ssize_t, length=Py_ssize_t)
    cpdef int into(self, list lot, Py_ssize_t messages_max, long long bytes_max) except -2
