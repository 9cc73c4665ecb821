cimport cython
from cdc.event cimport Record, Topic

cdef bint _DIRECT
cdef int _EVERY_PARTITION
cdef int _ANY_PARTITION
cdef unsigned int _SEED
cdef unsigned int _MASK


@cython.final
cdef class Feeder:
    cdef readonly Py_ssize_t index
    cdef object _produce
    cdef tuple _refusals
    cdef object _partitions
    cdef dict _counts
    cdef Topic _topic
    cdef str _name
    cdef int _count

    @cython.locals(record=Record, partition=int)
    cpdef bint feed(self, list records, Py_ssize_t start, Py_ssize_t stop) except -1

    @cython.locals(topic=Topic, key=bytes, wanted=int)
    cpdef int partition(self, Record record) except? -3

    cdef object _enter(self, Topic topic)


@cython.locals(number="unsigned int", word="unsigned int", index=Py_ssize_t, place=Py_ssize_t)
cpdef unsigned int murmur2(const unsigned char* key, Py_ssize_t size) noexcept
