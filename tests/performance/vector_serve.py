"""`slipway-backend serve` whose searches are by vectors alone, which its API does not offer.

For comparison with frameworks that search so: everything around the search stays as it is.
"""

from __future__ import annotations

import sys
from functools import partialmethod

from slipway_backend.cli import main
from slipway_backend.search import Searcher

if __name__ == "__main__":
    Searcher.find = partialmethod(Searcher.find, mode="vector")  # type: ignore[assignment]
    sys.exit(main())
