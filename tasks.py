"""What Slipway can do: `invoke -l` lists it, `invoke TASK --help` explains it."""

from __future__ import annotations

from invoke import Collection

from slipway.tasks import (
    alerts,
    approve,
    backup,
    build,
    db,
    diagnose,
    down,
    history,
    host,
    keys,
    lock,
    log_level,
    logs,
    maintenance,
    prune,
    release,
    restore,
    rollback,
    secrets,
    silence,
    status,
)

namespace = Collection(
    build.build,
    release.release,
    rollback.rollback,
    restore.restore,
    prune.prune,
    approve.approve,
    status.status,
    diagnose.diagnose,
    alerts.alerts,
    maintenance.maintenance,
    down.down,
    lock.lock,
)
namespace.add_collection(Collection.from_module(backup), name="backup")
namespace.add_collection(Collection.from_module(db), name="db")
namespace.add_collection(Collection.from_module(host), name="host")
namespace.add_collection(Collection.from_module(history), name="history")
namespace.add_collection(Collection.from_module(keys), name="keys")
reading = Collection("logs", log_level.level)
reading.add_task(logs.logs, default=True)
namespace.add_collection(reading)
namespace.add_collection(Collection.from_module(secrets), name="secrets")
namespace.add_collection(Collection.from_module(silence), name="silence")
