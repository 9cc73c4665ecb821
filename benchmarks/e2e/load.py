"""Writes rows at a steady rate, each transaction when it is due and not when the last one is done.

    python -m benchmarks.e2e.load URL ROWS_PER_S ROWS_A_TRANSACTION SECONDS

Prints one line of JSON: rows written, and how late the latest transaction began.
"""

import json
import sys
import time

import psycopg
from psycopg import sql

from benchmarks.e2e import workload


def main(url: str, rate: str, rows: str, seconds: str) -> None:
    """Write and print."""
    count = int(rows)
    transactions = int(float(rate) * float(seconds)) // count
    pause_s = count / float(rate)
    late_s = 0.0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(f"PREPARE put(int, int) AS {workload.insert_statement()}"))
        began = time.monotonic()
        for number in range(transactions):
            due = began + number * pause_s
            if (early_s := due - time.monotonic()) > 0:
                time.sleep(early_s)
            else:
                late_s = max(late_s, -early_s)
            first = number * count + 1
            connection.execute(
                sql.SQL("EXECUTE put({}, {})").format(first, first + count - 1), prepare=False
            )
        took_s = time.monotonic() - began
    written = transactions * count
    print(json.dumps({"rows": written, "rows_per_s": written / took_s, "late_s": late_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])
