"""`python -m slipway_monitoring`."""

import sys

from slipway_monitoring.cli import main

sys.exit(main())
