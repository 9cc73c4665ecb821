cdef class RowLayout:
    cdef readonly tuple decoders
    cdef readonly tuple forms

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

cdef class ChangeEvent:
    cdef readonly str op
    cdef readonly object table
    cdef readonly object before
    cdef readonly object after
    cdef readonly Transaction transaction
    cdef readonly object ordinal
    cdef readonly object position
    cdef readonly str snapshot
    cdef readonly object sequence

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

cdef class Record:
    cdef readonly Topic topic
    cdef readonly bytes key
    cdef readonly bytes value
    cdef readonly bytes mark
    cdef readonly tuple headers
    cdef readonly object partition
    cdef public object sequence

cdef class Stored:
    cdef readonly str topic
    cdef readonly object partition
    cdef readonly object offset
    cdef readonly bytes key
    cdef readonly bytes value
    cdef readonly tuple headers
    cdef readonly object timestamp_us
