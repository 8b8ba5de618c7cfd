"""Whether a release may spend more of what users were promised: the budgets of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.errors import Refused

if TYPE_CHECKING:
    from slipway.plans.release import Have, Want
    from slipway.plans.steps import Step


def refuse(want: Want, have: Have, steps: tuple[Step, ...]) -> None:
    """Refuse to change what users have been failed by more than promised.

    A release back is never refused, and somebody's reason is enough. Raises Refused.
    """
    if not steps or not want.keeps_budget or want.goes_back or want.spend_budget:
        return
    name = want.environment
    if have.budgets.unknown:
        raise Refused(
            f"Whether {name} has any error budget left is not known ({have.budgets.unknown}). "
            "Nothing was touched. `invoke release --spend-budget REASON` goes on without knowing",
            next_command=f"invoke logs --env {name} --service prometheus",
        )
    if have.budgets.spent:
        raise Refused(
            f"The error budget of {name} is spent ({have.budgets} left): its users were failed "
            "more than they are promised, and a release risks more of it. Nothing was touched. "
            "`invoke release --spend-budget REASON` goes on, and keeps the reason in the ledger",
            next_command=f"invoke alerts --env {name}",
        )
