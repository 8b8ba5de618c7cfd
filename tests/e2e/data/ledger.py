"""A writer that keeps its own ledger: what the database acknowledged, and when.

Started in a container beside the backends with the backend's own connection string. Every line it
prints is JSON: an acknowledged number with the time, or what went wrong instead.
"""

import json
import time
from pathlib import Path

import psycopg2

CONNECTION = Path("/run/secrets/database_url").read_text()


def say(**entry):
    """One line of the ledger."""
    print(json.dumps({**entry, "at": time.time()}), flush=True)


def connect():
    """A new connection to whichever server takes writes."""
    made = psycopg2.connect(CONNECTION, connect_timeout=2, application_name="ledger")
    made.autocommit = True
    made.cursor().execute("CREATE TABLE IF NOT EXISTS ledger (number bigint PRIMARY KEY)")
    return made


connection = None
# Above those of every writer before.
number = time.time_ns()
while True:
    number += 1
    try:
        connection = connection or connect()
        connection.cursor().execute("INSERT INTO ledger VALUES (%s)", [number])
        say(acknowledged=number)
    except psycopg2.Error as error:
        say(failed=number, code=error.pgcode, error=str(error).strip().splitlines()[:1])
        if connection is not None:
            connection.close()
        connection = None
        # What was not acknowledged may still have been written: it is never tried again.
        time.sleep(0.05)
    time.sleep(0.01)
