cimport cython
from cdc cimport memory

cdef bytes _TENS
cdef const unsigned char* _TENS_BYTES
cdef bytes _ONES
cdef const unsigned char* _ONES_BYTES

@cython.locals(length=Py_ssize_t, index=Py_ssize_t, left="unsigned long long", rest="unsigned long long", limit="unsigned long long", pair="unsigned int")
cdef Py_ssize_t digits(long long amount, unsigned char* out, Py_ssize_t at) noexcept
@cython.locals(days="long long")
cdef Py_ssize_t date(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at) noexcept
@cython.locals(us="long long")
cdef Py_ssize_t time(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at, int unit_us) noexcept
@cython.locals(us="long long", days="long long")
cdef Py_ssize_t timestamp(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at, int unit_us) noexcept
@cython.locals(end=Py_ssize_t, index=Py_ssize_t)
cdef Py_ssize_t zoned(const unsigned char* raw, Py_ssize_t size, unsigned char* out, Py_ssize_t at, int fraction) noexcept
@cython.locals(tens=int, ones=int)
cdef int _two(const unsigned char* raw, Py_ssize_t place) noexcept
@cython.locals(year=int, month=int, day=int, day_of_year=int, leap=bint)
cdef long long _days(const unsigned char* raw) noexcept
@cython.locals(length=Py_ssize_t, index=Py_ssize_t, hours="long long", minutes="long long",
               seconds="long long", micros="long long", digit=int)
cdef long long _clock_us(const unsigned char* raw, Py_ssize_t start, Py_ssize_t end) noexcept
