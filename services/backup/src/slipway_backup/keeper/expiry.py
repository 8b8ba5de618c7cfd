"""What goes: the keeper alone removes, by receive time, and nothing that a kept point rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from slipway_backup.keeper.judging import Judged
from slipway_backup.keeper.rules import Known
from slipway_backup.keeper.store import Store
from slipway_backup.policy import Keeping


def kept(judged: Judged, now: datetime, policy: Keeping) -> tuple[Known, ...]:
    """The points that stay: received within the days, of the newest, or still where they landed."""
    since = now - timedelta(days=policy.days)
    newest = judged.known[-policy.points :]
    return tuple(
        point
        for point in judged.known
        if point.received >= since or point in newest or point.at == judged.at
    )


def needed(store: Store, points: Sequence[Known], since: datetime) -> set[str]:
    """The contents that points rest on, those of now, and whatever was received since."""
    states = [store.state(), *(store.state(at) for at in {point.at for point in points})]
    found = {line.sha256 for state in states for line in state.values()}
    return found | {
        line.sha256 for lines in store.versions.values() for line in lines if line.at >= since
    }


def expire(store: Store, judged: Judged, now: datetime, policy: Keeping) -> tuple[Judged, int]:
    """Remove what nothing rests on; the judgement without the points that went, and the bytes.

    While anything is wrong nothing goes.
    """
    if judged.problems:
        return judged, 0
    staying = kept(judged, now, policy)
    since = now - timedelta(days=policy.guarded_days)
    return replace(judged, known=staying), store.remove_all_but(needed(store, staying, since))
