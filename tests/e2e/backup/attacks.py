"""What root on an environment's host can do to its second repository, with what it finds there."""

from __future__ import annotations

from collections.abc import Mapping

#: Run in the service's container, with its code, its key and its access to the other machine.
BEGIN = """
import subprocess
from slipway_backup import points, repositories, settings
from slipway_backup.sources import database, files

own = settings.load()
second = repositories.all_of(own)[1]


def sftp(*lines):
    there = second.second
    known = own.secrets_directory / "second_known_hosts"
    words = ["sftp", "-q", "-b", "-", "-i", str(own.secret("second_key"))]
    words += ["-o", f"UserKnownHostsFile={known}", f"{there.user}@{there.host}"]
    told = "\\n".join(lines)
    done = subprocess.run(words, input=told, capture_output=True, text=True, check=True)
    return [each.strip() for each in done.stdout.splitlines() if each.startswith("/")]


def held():
    return sftp(*(f"-ls -1 /points/{'*/' * depth}*" for depth in range(2, 8)))


"""

#: By the code that the keeper has to tell: what is done.
ATTACKS: Mapping[str, str] = {
    "deleted": """
sftp(*(f"-rm /points/{'*/' * depth}*" for depth in range(8)))
""",
    "expired": """
database.call(["--repo=2", "--repo2-retention-full=1", "expire"], database.told(own))
""",
    "forgotten": """
files.forget(own, second, [each.id for each in files.snapshots(own, second).snapshots])
""",
    "backdated": """
for year in range(2001, 2013):
    words = ["backup", "--tag", "point", "--host", "slipway", "--time", f"{year}-01-01 00:00:00"]
    files.call(own, second, [*words, "/etc/hostname"])
""",
    "overwritten": """
open("/tmp/junk", "wb").write(b"nothing of what was here" * 1000)
sftp(*(f"put /tmp/junk {path}" for path in held() if "/data/" in path or ".zst" in path))
""",
    "key": """
open("/tmp/new", "w").write("of somebody else")
files.call(own, second, ["key", "passwd", "--new-password-file", "/tmp/new"])
""",
    "landing_filling": """
for number in range(40):
    with open("/tmp/junk", "wb") as out:
        out.write(number.to_bytes(8, "big") * 1_000_000)
    try:
        sftp(f"put /tmp/junk /points/restic/data/00/{number:064x}")
    except subprocess.CalledProcessError:
        break
""",
}
