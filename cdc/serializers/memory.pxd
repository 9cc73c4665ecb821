from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy


cdef inline void copy(unsigned char* out, Py_ssize_t at, const unsigned char* source, Py_ssize_t size) noexcept:
    memcpy(out + at, source, size)


cdef inline bytes taken(const unsigned char* source, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char*>source, size)
