# Fields are public because they are in plain Python: both forms must behave alike.

cimport cython

# No object here can be part of a cycle, and there is one of most of them for each change: they are
# kept from the cyclic collector, and their memory is used again.

cdef int _EVERY_PARTITION



@cython.no_gc
@cython.freelist(64)
cdef class Transaction:
    cdef public str id
    cdef public object commit_time_us
    cdef public object xid
    cdef public object prior_position
    cdef public str origin
    cdef public object origin_position


@cython.locals(made=Transaction)
cpdef Transaction transaction(str id, object commit_time_us, object xid, object prior_position)


@cython.no_gc
@cython.freelist(1024)
cdef class ChangeEvent:
    cdef public str op
    cdef public object table
    cdef public object before
    cdef public object after
    cdef public Transaction transaction
    cdef public long long ordinal
    cdef public long long position
    cdef public str snapshot
    cdef public long long sequence


@cython.locals(event=ChangeEvent)
cpdef ChangeEvent change(
    str op, object table, object before, object after, Transaction transaction,
    long long ordinal, long long position, str snapshot
)


cdef class Batch:
    cdef public list events
    cdef public object checkpoint
    cdef public object ackable
    cdef public object size_bytes
    cdef public tuple marks
    cdef public list records
    cdef public object encoded


cdef class Topic:
    cdef public str name
    cdef public bint compacted
    cdef public bint internal


@cython.no_gc
@cython.freelist(1024)
cdef class Record:
    cdef public Topic topic
    cdef public bytes key
    cdef public bytes value
    cdef public bytes mark
    cdef public tuple headers
    cdef public object partition
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
    cdef public str topic
    cdef public object partition
    cdef public object offset
    cdef public bytes key
    cdef public bytes value
    cdef public tuple headers
    cdef public object timestamp_us
