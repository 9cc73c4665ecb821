cimport cython
from cdc cimport memory
from cdc.serializers cimport json_time

cdef int _DIGITS_MAX
cdef const unsigned char* _BASE64

@cython.locals(start=Py_ssize_t, digits=Py_ssize_t, index=Py_ssize_t, amount="long long", limit="long long", digit=int)
cdef Py_ssize_t integer(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at, int bits) noexcept
@cython.locals(start=Py_ssize_t, whole=Py_ssize_t, fraction=Py_ssize_t, significant=Py_ssize_t,
               zeros=Py_ssize_t, index=Py_ssize_t, byte=int)
cdef Py_ssize_t number(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at, int digits_max) noexcept
@cython.locals(point=Py_ssize_t, index=Py_ssize_t)
cdef Py_ssize_t number_string(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at) noexcept
@cython.locals(point=Py_ssize_t)
cdef Py_ssize_t decimal(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at, int scale) noexcept
@cython.locals(point=Py_ssize_t, end=Py_ssize_t)
cdef Py_ssize_t variable_decimal(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at) noexcept
@cython.locals(point=Py_ssize_t, start=Py_ssize_t, index=Py_ssize_t, byte=int)
cdef Py_ssize_t _point(const unsigned char* raw, Py_ssize_t size) noexcept
@cython.locals(amount="long long", index=Py_ssize_t)
cdef long long _unscaled(const unsigned char* raw, Py_ssize_t size) noexcept
@cython.locals(length=int, rest="long long", bits=int)
cdef Py_ssize_t base64(long long amount, unsigned char* out, Py_ssize_t at) noexcept
