"""What the servers of a data tier are called: a service, a host name and a volume alike."""

from __future__ import annotations

#: Beyond this one host gains nothing from another copy.
MOST_REPLICAS = 8
#: The only one where there are no replicas, and where a data tier begins.
FIRST = "postgres"
MEMBERS = (FIRST, *(f"{FIRST}-{number}" for number in range(2, MOST_REPLICAS + 2)))
#: Where the members agree on who is the primary.
STORE = "etcd"
#: Every service that is changed in place, member by member.
SERVICES = (STORE, *MEMBERS)


def of(count: int) -> tuple[str, ...]:
    """The first `count` members."""
    return MEMBERS[:count]
