"""`python -m slipway_backup` is `slipway-backup`."""

import sys

from slipway_backup.cli import main

if __name__ == "__main__":
    sys.exit(main())
