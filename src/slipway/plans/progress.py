"""What a person sees of long work: a line where it got on enough, with an estimate."""

from __future__ import annotations

import json
from dataclasses import dataclass

#: Of the whole; less is not worth a line.
STEP = 0.1


@dataclass
class Progress:
    """The lines of one piece of work, each as a JSON object with progress, what and eta_seconds."""

    what: str = ""
    part: float = 0.0

    def line(self, text: str) -> str:
        """The sentence for this line; empty for one that says nothing new."""
        try:
            said = json.loads(text)
            part, what = float(said["progress"]), str(said.get("what") or "")
        except (ValueError, TypeError, KeyError):
            return ""
        # Behind a comma stands where in it the work is, such as each file of a long log.
        same = what.partition(",")[0] == self.what.partition(",")[0]
        if same and part < self.part + STEP:
            return ""
        self.what, self.part = what, part
        left = said.get("eta_seconds")
        estimate = f", about {duration(float(left))} left" if left else ""
        return f"{what or 'at work'}: {100 * part:.0f} %{estimate}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def size(count: float) -> str:
    """Bytes as a person says them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
