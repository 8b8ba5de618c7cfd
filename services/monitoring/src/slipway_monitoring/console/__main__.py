"""`python -m slipway_monitoring.console`: serves the console until told to stop."""

from __future__ import annotations

import sys

import uvicorn

from slipway_monitoring import settings
from slipway_monitoring.console import app
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.logs import log


def main() -> int:
    """Serve; 1 with the reason when it cannot."""
    try:
        own = settings.load()
        made = app.make(own)
    except MonitoringError as error:
        log("error", "console", "cannot go on", reason=str(error))
        return 1
    uvicorn.run(made, host=own.host, port=own.port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
