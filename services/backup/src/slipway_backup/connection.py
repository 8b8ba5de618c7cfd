"""How the database's members are reached."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import make_conninfo

from slipway_backup import fingerprints
from slipway_backup.errors import Failed
from slipway_backup.fingerprints import Connection
from slipway_backup.settings import ROLE, Settings


def conninfo(settings: Settings, *, password: bool = True) -> str:
    """libpq's words for the member that takes writes, whichever that is."""
    words: dict[str, str | int] = {
        "host": ",".join(settings.hosts),
        "port": ",".join([str(settings.database_port)] * len(settings.hosts)),
        "dbname": settings.database_name,
        "user": ROLE,
        "sslmode": "verify-full",
        "sslrootcert": str(settings.secret("data_ca.crt")),
        "target_session_attrs": "read-write",
        "connect_timeout": 5,
        "application_name": "slipway-backup",
    }
    if password:
        words["password"] = settings.backup_password
    return make_conninfo("", **words)


def connect(settings: Settings, *, autocommit: bool = True) -> Connection:
    """A session at the member that takes writes. Raises Failed when there is none."""
    try:
        return fingerprints.connect(conninfo(settings), autocommit=autocommit)
    except psycopg.Error as error:
        raise Failed(
            f"no database takes writes at {settings.database_hosts}: {str(error).strip()}",
            "invoke status, and the log of postgres",
        ) from None
