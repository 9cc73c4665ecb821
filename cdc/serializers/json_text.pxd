cimport cython
from cdc cimport memory
from cdc.serializers cimport json_numbers, json_time

cdef int _STRING
cdef int _INTEGER
cdef int _ZONED
cdef int _TIMESTAMP
cdef int _BOOLEAN
cdef int _DECIMAL
cdef int _UUID
cdef int _DOUBLE
cdef int _FLOAT
cdef int _DAYS
cdef int _TIME
cdef int _VARIABLE_DECIMAL
cdef int _NUMBER_STRING

cdef bint _DIRECT
cdef Py_ssize_t _ROOM_FACTOR
cdef Py_ssize_t _ROOM_BYTES
cdef const unsigned char* _ESCAPES
cdef const unsigned char* _HEX
cdef bytes _UUID_TABLE
cdef const unsigned char* _UUID_BYTES


@cython.final
cdef class Scratch:
    cdef bytearray _memory
    cdef list _parts
    cdef Py_ssize_t _room
    cdef readonly Py_ssize_t size

    cpdef begin(self)

    @cython.locals(length=Py_ssize_t)
    cpdef put(self, bytes text)

    cpdef put_between(self, tuple parts, bytes first, bytes second, bytes third)

    cpdef put_number(self, long long number)

    @cython.locals(length=Py_ssize_t, end=Py_ssize_t, raw="const unsigned char*")
    cpdef bint put_value(
        self, bytes fragment, int way, int parameter, const unsigned char* packed, Py_ssize_t start, Py_ssize_t size
    ) except -1

    @cython.locals(written=bytearray, end=Py_ssize_t)
    cdef bint _put_value(self, bytes fragment, int way, int parameter, const unsigned char* raw, Py_ssize_t size) except -1

    cpdef bytes take(self)

    @cython.locals(grown=bytearray)
    cdef _grow(self, Py_ssize_t more)


cdef Py_ssize_t value(int way, int parameter, const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at) noexcept
@cython.locals(index=Py_ssize_t, byte=int, length=int)
cdef Py_ssize_t string(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at) noexcept
cdef Py_ssize_t _control(int byte, unsigned char* out, Py_ssize_t at) noexcept
@cython.locals(first=int, second=int, third=int, fourth=int)
cdef int _character(const unsigned char* raw, Py_ssize_t index, Py_ssize_t size) noexcept
@cython.locals(code=int)
cdef Py_ssize_t _surrogates(const unsigned char* raw, Py_ssize_t index, unsigned char* out, Py_ssize_t at) noexcept
cdef Py_ssize_t _unit(int code, unsigned char* out, Py_ssize_t at) noexcept
cdef Py_ssize_t boolean(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at) noexcept
@cython.locals(index=Py_ssize_t, byte=int, dashes=int)
cdef Py_ssize_t uuid(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at) noexcept
