"""Who may look: whoever knows the console's password, for half a day.

How often somebody may try is the edge's to limit, by address, as for other logins: a limit for all
of them together would let anybody keep everybody out.
"""

from __future__ import annotations

import hashlib
import hmac

SECONDS = 12 * 3600


class Door:
    """The console's password."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()

    @property
    def key(self) -> str:
        """What sessions are signed with: another password ends them all."""
        return hmac.new(self._password, b"sessions of the console", hashlib.sha256).hexdigest()

    def opens(self, password: str) -> bool:
        """Whether this is the password."""
        return hmac.compare_digest(password.encode(errors="surrogatepass"), self._password)
