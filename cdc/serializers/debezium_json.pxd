cimport cython
from cdc cimport event as changes
from cdc.event cimport ChangeEvent, Topic, Transaction
from cdc.rows cimport RawRow, RowLayout
from cdc.serializers.json_rows cimport RowPlan, RowWriter
from cdc.serializers.json_text cimport Scratch


cdef class TablePlan:
    cdef object content
    cdef Topic topic
    cdef bytes mark
    cdef RowPlan rows
    cdef bytes start
    cdef bytes start_alone
    cdef bytes value_end
    cdef object transaction
    cdef str snapshot
    cdef bytes head
    cdef bytes middle
    cdef bint counted
    cdef bytes end
    cdef str op
    cdef bytes clock
    cdef bytes tail


cdef dict _OPS

cdef bytes _NOT_COUNTED
cdef bytes _NO_ORIGIN

cdef bint _is_partial(object row)
cdef bytes _mark(bytes mark, object unchanged, object nulls, object before_nulls)


cdef class DebeziumJson:
    cdef object _identity
    cdef object _options
    cdef bint _compacts
    cdef object _clock_us
    cdef object _decoder
    cdef object _omission
    cdef object _letters
    cdef Topic _schemas_topic
    cdef tuple _headers
    cdef dict _plans
    cdef object _table
    cdef TablePlan _plan
    cdef RowWriter _rows
    cdef object _rowless
    cdef object _orders
    cdef tuple _facts

    @cython.locals(records=list, plan=TablePlan, event=ChangeEvent, clock=bytes)
    cpdef list encode(self, object events)

    cpdef object orders(self)

    cpdef object resume(self, object facts)

    cdef object _no_row(self, ChangeEvent event, object now_us, list records)

    @cython.locals(transaction=Transaction)
    cdef object _orders_of(self, ChangeEvent event)

    cdef object _enter(self, object table, list records)

    @cython.locals(transaction=Transaction, prior=bytes, xid=bytes, marker=bytes, us_text=bytes, ms_text=bytes, text=Scratch, end=bytes)
    cdef object _begin(self, TablePlan plan, ChangeEvent event, object now_us)

    @cython.locals(text=Scratch, mark=bytes, headers=tuple, rows=RowWriter)
    cdef object _change(self, TablePlan plan, ChangeEvent event, bytes clock, list records)

    @cython.locals(text=Scratch, mark=bytes, rows=RowWriter)
    cdef object _delete(self, TablePlan plan, ChangeEvent event, object before, bytes clock, tuple headers, list records)

    @cython.locals(text=Scratch)
    cdef object _truncate(self, TablePlan plan, ChangeEvent event, bytes clock, list records)

    cdef object _finish(self, TablePlan plan, ChangeEvent event, str op, bytes clock, Scratch text)

    cdef object _count(self, TablePlan plan, ChangeEvent event, Scratch text)

    cdef object _key(self, TablePlan plan, object row, object other)
