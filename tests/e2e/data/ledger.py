"""Writers that keep their own ledger: what the database acknowledged, when, and through whom.

Started in a container beside the backends with the backend's own connection string. One writer goes
to whoever takes writes; with PINNED one more goes to each member alone, whoever that is: together
they tell whether two members ever took writes at a time. Every line that is printed is JSON: an
acknowledged number with the time, or what went wrong instead.
"""

import itertools
import json
import os
import select
import threading
import time
from pathlib import Path

import psycopg2
from psycopg2 import extensions

CONNECTION = extensions.parse_dsn(Path("/run/secrets/database_url").read_text())
# A server that is paused keeps its connections, and says nothing on them.
SILENCE_SECONDS = 3
PAUSE_SECONDS = 0.01
# Above those of every writer before.
numbers = itertools.count(time.time_ns())
printing = threading.Lock()


def say(**entry):
    """One line of the ledger."""
    with printing:
        print(json.dumps({**entry, "at": time.time()}), flush=True)


def answered(connection):
    """Wait for the server as psycopg does, but not for ever."""
    until = time.monotonic() + SILENCE_SECONDS
    while (state := connection.poll()) != extensions.POLL_OK:
        left = max(until - time.monotonic(), 0)
        reading = [connection] if state == extensions.POLL_READ else []
        writing = [] if reading else [connection]
        if not any(select.select(reading, writing, [], left)):
            raise psycopg2.OperationalError(f"no answer in {SILENCE_SECONDS} s")


def connect(server):
    """A new connection to this server, or to whichever takes writes."""
    wanted = {"load_balance_hosts": "random"} if server == "any" else {"host": server, "port": 5432}
    made = psycopg2.connect(**{**CONNECTION, **wanted, "application_name": "ledger"})
    made.autocommit = True
    return made


def write(server):
    """Write one number after the other."""
    connection = None
    while True:
        number = next(numbers)
        try:
            connection = connection or connect(server)
            connection.cursor().execute("INSERT INTO ledger VALUES (%s)", [number])
            say(acknowledged=number, by=server)
        except psycopg2.Error as error:
            say(failed=number, by=server, code=error.pgcode, error=str(error).splitlines()[:1])
            if connection is not None:
                connection.close()
            connection = None
            # What was not acknowledged may still have been written: it is never tried again.
            time.sleep(0.05)
        time.sleep(PAUSE_SECONDS)


extensions.set_wait_callback(answered)
table = "CREATE TABLE IF NOT EXISTS ledger (number bigint PRIMARY KEY)"
connect("any").cursor().execute(table)
pinned = CONNECTION["host"].split(",") if os.environ.get("PINNED") else []
for each in pinned:
    threading.Thread(target=write, args=[each], daemon=True).start()
write("any")
