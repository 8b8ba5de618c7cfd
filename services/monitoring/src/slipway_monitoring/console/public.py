"""The public page: up, degraded or down, ninety days, and incidents. Nothing else is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from slipway_monitoring.console.record import DAYS, DOWN, Record, date

SAID = {
    "up": "Everything works",
    "degraded": "Some of it does not work as it should",
    "down": "Users are not answered",
    "unknown": "Whether users are answered is not known",
}
#: From this share of answered questions a day was good: what users are promised.
GOOD = 0.999
STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1b1f24; --quiet: #57606a;
  --up: #116329; --degraded: #7d4e00; --down: #b3141c; --unknown: #59636e; }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --card: #161b22; --text: #e6edf3;
  --quiet: #9da7b3; --up: #56d364; --degraded: #e3b341; --down: #ff7b72; --unknown: #9198a1; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.now { padding: 1rem; border-left: 8px solid; background: var(--card); font-size: 1.2rem; }
.up { color: var(--up); } .degraded { color: var(--degraded); }
.down { color: var(--down); } .unknown { color: var(--unknown); }
.days { display: flex; gap: 2px; height: 3rem; margin: 0; padding: 0; list-style: none; }
.days li { flex: 1; background: currentColor; border-radius: 2px; overflow: hidden; }
.days li.degraded { height: 80%; align-self: end; } .days li.down { height: 60%; align-self: end; }
.days li.unknown { height: 20%; align-self: end; } .days span { position: absolute; left: -99rem; }
p, li { overflow-wrap: anywhere; } .quiet { color: var(--quiet); }
"""


def summary(serving: str, record: Record, now: float) -> dict[str, Any]:
    """What the page says, for programs: `serving` is up, down or unknown by the probe."""
    state = serving
    if serving == "up" and record.open is not None:
        state = "degraded"
    return {
        "state": state,
        "at": round(now),
        "days": [
            {"date": name, "answered": None if share is None else round(share, 5)}
            for name, share in _days(record, now)
        ],
        "incidents": [
            {
                "began": round(each.began),
                "ended": each.ended and round(each.ended),
                "what": each.what,
            }
            for each in record.incidents
        ],
    }


def page(domain: str, told: Mapping[str, Any]) -> str:
    """The page, without scripts and without anything that is asked of somebody else."""
    shares = [each["answered"] for each in told["days"] if each["answered"] is not None]
    mean = f"{100 * sum(shares) / len(shares):.3f} %" if shares else "not known"
    days = "".join(_bar(each) for each in told["days"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="60">
<title>{escape(SAID[told["state"]])} - {escape(domain)}</title>
<link rel="stylesheet" href="/status.css"></head>
<body><main>
<h1>{escape(domain)}</h1>
<p class="now {told["state"]}" role="status">{escape(SAID[told["state"]])}</p>
<p class="quiet">As of {_moment(told["at"])}.</p>
<h2>The last {DAYS} days: {mean} of our own questions were answered</h2>
<ol class="days">{days}</ol>
<h2>Incidents</h2>
{"".join(_incidents(told)) or "<p>None in this time.</p>"}
</main></body></html>
"""


def _days(record: Record, now: float) -> Iterator[tuple[str, float | None]]:
    last = datetime.fromtimestamp(now, UTC).date()
    for back in range(DAYS - 1, -1, -1):
        name = (last - timedelta(days=back)).isoformat()
        day = record.days.get(name)
        yield name, None if day is None else day.share


def _bar(day: Mapping[str, Any]) -> str:
    share = day["answered"]
    if share is None:
        kind, said = "unknown", "not known"
    else:
        kind = "up" if share >= GOOD else "degraded" if share >= 0.9 else "down"
        said = f"{100 * share:.2f} % answered"
    text = f"{day['date']}: {said}"
    return f'<li class="{kind}" title="{text}"><span>{text}</span></li>'


def _incidents(told: Mapping[str, Any]) -> Iterator[str]:
    for each in told["incidents"]:
        kind = "down" if each["what"] == DOWN else "degraded"
        ended = f"until {_moment(each['ended'])}" if each["ended"] else "and not over yet"
        lasted = (each["ended"] or told["at"]) - each["began"]
        yield (
            f'<p><strong class="{kind}">{escape(each["what"])}</strong>, from '
            f"{_moment(each['began'])} {ended} ({max(1, round(lasted / 60))} min)</p>"
        )


def _moment(seconds: float) -> str:
    return f"{date(seconds)} {datetime.fromtimestamp(seconds, UTC):%H:%M} UTC"
