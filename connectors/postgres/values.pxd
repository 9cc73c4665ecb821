cimport cython

cpdef str text(bytes raw)
cpdef str bits(bytes raw)
cpdef str uuid(bytes raw)
cpdef bytes bytea(bytes raw)
cpdef object boolean(bytes raw)
cdef object _integer(bytes raw, object low, object high, str kind)
cpdef object int8(bytes raw)
cpdef object int16(bytes raw)
cpdef object int32(bytes raw)
cpdef object int64(bytes raw)
cpdef object uint64(bytes raw)
cpdef object float64(bytes raw)
cpdef object float32(bytes raw)
@cython.locals(digits=bytes, rest=bytes)
cpdef str decimal(bytes raw)
@cython.locals(amount=bytes, units=bytes, cents=bytes)
cpdef str money(bytes raw)

@cython.locals(value=cython.longlong, index=Py_ssize_t, digit=cython.int)
cdef long long _number(bytes raw, Py_ssize_t start, Py_ssize_t end) except? -2
@cython.locals(tens=cython.int, ones=cython.int)
cdef int _two(bytes raw, Py_ssize_t position) except? -2
@cython.locals(length=Py_ssize_t, hours=cython.longlong, minutes=cython.longlong,
               seconds=cython.longlong, micros=cython.longlong, digits=bytes)
cdef long long _clock_us(bytes raw, Py_ssize_t start, Py_ssize_t end) except? -2
@cython.locals(index=Py_ssize_t)
cdef Py_ssize_t _zone_start(bytes raw, Py_ssize_t start, Py_ssize_t end) except? -2
@cython.locals(length=Py_ssize_t, hours=cython.longlong, minutes=cython.longlong,
               seconds=cython.longlong, total=cython.longlong)
cdef long long _zone_s(bytes raw, Py_ssize_t start, Py_ssize_t end, str kind) except? -9223372036854775807
cpdef object date(bytes raw)
@cython.locals(micros=cython.longlong)
cpdef object time(bytes raw)
@cython.locals(end=Py_ssize_t, zone=Py_ssize_t, micros=cython.longlong)
cpdef tuple timetz(bytes raw)
@cython.locals(space=Py_ssize_t, micros=cython.longlong)
cpdef object timestamp(bytes raw)
@cython.locals(in_utc=cython.bint, end=Py_ssize_t, space=Py_ssize_t, zone=Py_ssize_t, micros=cython.longlong)
cpdef object timestamptz(bytes raw)
cdef object _infinity(bytes raw, str kind)
cpdef tuple interval(bytes raw)
