from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcpy


cdef inline void copy(unsigned char* out, Py_ssize_t at, const unsigned char* source, Py_ssize_t size) noexcept:
    memcpy(out + at, source, size)


cdef inline bytes taken(const unsigned char* source, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char*>source, size)


cdef inline const unsigned char* part(const unsigned char* source, Py_ssize_t start, Py_ssize_t size) noexcept:
    return source + start


cdef inline Py_ssize_t plain(const unsigned char* raw, Py_ssize_t size) noexcept:
    # A byte of eight is 0x80 or more, below 0x20, a quote or a backslash where the highest bit of
    # its sum is set. A borrow may mark a byte behind such a one too, which changes nothing.
    cdef Py_ssize_t index = 0
    cdef uint64_t word, quote, backslash
    while size - index >= 8:
        memcpy(&word, raw + index, 8)
        quote = word ^ 0x2222222222222222ULL
        backslash = word ^ 0x5C5C5C5C5C5C5C5CULL
        if (
            word
            | (word - 0x2020202020202020ULL)
            | (quote - 0x0101010101010101ULL)
            | (backslash - 0x0101010101010101ULL)
        ) & 0x8080808080808080ULL:
            break
        index += 8
    return index


cdef inline Py_ssize_t find(const unsigned char* source, Py_ssize_t start, Py_ssize_t end, int byte) noexcept:
    cdef const void* found = memchr(source + start, byte, end - start) if end > start else NULL
    return -1 if found == NULL else <const unsigned char*>found - source
