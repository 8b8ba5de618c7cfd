"""One attribute that is one thing before and another after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slipway.config import secrets

HIDDEN = "(hidden)"
ABSENT = "nothing"


@dataclass(frozen=True)
class Difference:
    """An attribute of `subject` before and after; None stands for one that is not there."""

    subject: str
    attribute: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        before, after = self.shown
        return f"{self.attribute}: {before} -> {after}"

    @property
    def shown(self) -> tuple[str, str]:
        """Both values for a person; those of what may be a secret are hidden."""
        key = self.attribute.removeprefix("environment ")
        hidden = key != self.attribute and secrets.hidden(key)
        before, after = (
            ABSENT if value is None else HIDDEN if hidden else secrets.without_password(value)
            for value in (self.before, self.after)
        )
        return before, after

    def plain(self) -> dict[str, str]:
        """The same for a program."""
        before, after = self.shown
        return {
            "subject": self.subject,
            "attribute": self.attribute,
            "before": before,
            "after": after,
        }


def between(
    subject: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Difference]:
    """The attributes that differ, in alphabetical order."""
    for attribute in sorted(before.keys() | after.keys()):
        if before.get(attribute) != after.get(attribute):
            yield Difference(subject, attribute, before.get(attribute), after.get(attribute))
