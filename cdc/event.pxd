cimport cython

# No object here can be part of a cycle, and there is one of most of them for each change: they are
# kept from the cyclic collector, and their memory is used again.

cdef int _EVERY_PARTITION


@cython.no_gc
cdef class RowLayout:
    cdef readonly tuple decoders
    cdef readonly tuple forms


@cython.no_gc
@cython.freelist(1024)
cdef class RawRow:
    cdef readonly RowLayout layout
    cdef readonly list raw


cdef class Transaction:
    cdef readonly str id
    cdef readonly object commit_time_us
    cdef readonly object xid
    cdef readonly object prior_position
    cdef readonly str origin
    cdef readonly object origin_position


@cython.no_gc
@cython.freelist(1024)
cdef class ChangeEvent:
    cdef readonly str op
    cdef readonly object table
    cdef readonly object before
    cdef readonly object after
    cdef readonly Transaction transaction
    cdef readonly long long ordinal
    cdef readonly long long position
    cdef readonly str snapshot
    cdef readonly long long sequence


@cython.locals(row=RawRow)
cpdef RawRow raw_row(RowLayout layout, list raw)

@cython.locals(event=ChangeEvent)
cpdef ChangeEvent change(
    str op, object table, object before, object after, Transaction transaction,
    long long ordinal, long long position, str snapshot
)


cdef class Batch:
    cdef readonly list events
    cdef readonly object checkpoint
    cdef readonly object ackable
    cdef readonly object size_bytes
    cdef readonly tuple marks


cdef class Topic:
    cdef readonly str name
    cdef readonly bint compacted
    cdef readonly bint internal


@cython.no_gc
@cython.freelist(1024)
cdef class Record:
    cdef readonly Topic topic
    cdef readonly bytes key
    cdef readonly bytes value
    cdef readonly bytes mark
    cdef readonly tuple headers
    cdef readonly object partition
    cdef public long long sequence

    @cython.locals(headers=list)
    cpdef list all_headers(self)


@cython.locals(record=Record)
cpdef Record keyed_record(Topic topic, bytes key, bytes value, bytes mark, tuple headers)

@cython.locals(record=Record, following="long long")
cpdef long long stamp(list records, long long first) except? -1

@cython.locals(record=Record)
cpdef bint any_for_every_partition(list records) except -1


cdef class Stored:
    cdef readonly str topic
    cdef readonly object partition
    cdef readonly object offset
    cdef readonly bytes key
    cdef readonly bytes value
    cdef readonly tuple headers
    cdef readonly object timestamp_us
