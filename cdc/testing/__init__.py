"""Parts for tests, shipped: third parties prove their own components with them.

    clock.py control.py     time that passes only when told, and a worker's orders from a list
    faults.py               calls counted, refused, held, slowed, or crashed at a chosen step
    memory_source.py        a database that forgets what was acknowledged
    memory_sink.py          a store that keeps versions, and a keeper of dead letters
    plain_serializer.py     records that a test can read
    *_contract.py           what every component of a kind must do

The log in memory is cdc/logs/memory.py.
"""
