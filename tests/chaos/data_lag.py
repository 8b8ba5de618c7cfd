"""What a tier without synchronous replicas loses: no more than the lag that it showed."""

from __future__ import annotations

import time

from chaos.data_faults import AWAY_SECONDS, kill_container
from tier_rig import DataTier, Ledger, eventually

from slipway.report import Result

# Patroni looks every 2 s, and shows what it saw.
SHOWN_SECONDS = 6
BEHIND_SECONDS = 3
# Beyond Patroni's maximum_lag_on_failover, 1 MiB.
FILLER = "CREATE TABLE filler AS SELECT repeat(md5(n::text), 64) FROM generate_series(1, 4000) n"
FREEZE = """
import os, pathlib, signal
for each in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if b"walsender" in each.read_bytes():
        os.kill(int(each.parent.name), signal.SIGSTOP)
"""


def lose(tier: DataTier) -> list[Result]:
    """Kill a primary whose replicas are behind; what was lost against the lag shown before."""
    primary = tier.whole()["primary"]
    with Ledger(tier) as ledger:
        _freeze(tier, primary)
        before, known = _position(tier, primary), len(ledger.acknowledged())
        time.sleep(BEHIND_SECONDS)
        ledger.pause()
        after, written = _position(tier, primary), len(ledger.acknowledged())
        time.sleep(SHOWN_SECONDS)
        shown = _lag(tier, primary)
        kill_container(tier.container(primary))
        eventually(lambda: tier.status()["primary"] not in {None, primary}, "other primary")
        lost = ledger.lost()
    tier.container(primary).start()
    tier.whole()
    each = (after - before) / (written - known)
    note = f"{len(lost)} writes of about {each:.0f} bytes; {shown} bytes of lag were shown"
    part = round(len(lost) * each / shown, 3)
    return [Result("asynchronous: lost, of the lag shown", part, "", "<= 1", note=note)]


def hold(tier: DataTier) -> list[Result]:
    """Kill a primary whose replicas are too far behind: nobody takes over, and nothing is lost."""
    primary = tier.whole()["primary"]
    with Ledger(tier) as ledger:
        _freeze(tier, primary)
        tier.query(primary, FILLER)
        time.sleep(SHOWN_SECONDS)
        ledger.pause()
        shown = _lag(tier, primary)
        kill_container(tier.container(primary))
        time.sleep(AWAY_SECONDS)
        took_over = tier.status()["primary"] not in {None, primary}
        tier.container(primary).start()
        tier.whole()
        lost = ledger.lost()
        tier.query(tier.status()["primary"], "DROP TABLE filler")
    note = f"{shown} bytes behind"
    return [
        Result("replicas too far behind: took over", int(took_over), "", "== 0", note=note),
        Result("replicas too far behind: lost", len(lost), "writes", "== 0"),
    ]


def _freeze(tier: DataTier, primary: str) -> None:
    done = tier.container(primary).exec_run(["python3", "-c", FREEZE], user="10003")
    assert done.exit_code == 0, done.output


def _position(tier: DataTier, primary: str) -> int:
    return int(tier.query(primary, "SELECT pg_current_wal_lsn() - '0/0'")[0])


def _lag(tier: DataTier, primary: str) -> int:
    members = tier.status()["members"]
    return min(each["lag"] for each in members if each["name"] != primary)
