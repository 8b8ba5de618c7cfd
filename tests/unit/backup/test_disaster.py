"""A copy of a repository becomes a host's own: all of it, also when that was killed midway."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway_backup import disaster, repositories, settings
from slipway_backup.errors import Refused
from slipway_backup.points import Point
from slipway_backup.settings import Settings


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the volume that a repository is in."""
    root = tmp_path / "copy" / "repository"
    for name in ("restic/config", "restic/data/ab/ab12", "pgbackrest/backup/slipway/backup.info"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "pgbackrest/backup/slipway/latest").symlink_to("20261129-120000F")
    (root / "restic/locks").mkdir()
    (root / "restic/locks/of-another-host").touch()
    (root / "work/spool").mkdir(parents=True)
    (root / "work/spool/000000010000000000000003.partial").touch()
    (root / "work/history.jsonl").write_text("{}\n")
    return root.parent


def held(root: Path) -> set[str]:
    """The files in a repository."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_everything_but_what_belongs_to_another_host_is_copied(own: Settings, copy: Path) -> None:
    assert disaster.adopt(own, copy) == 5
    target = own.repository_directory
    assert held(target) == {
        *("restic/config", "restic/data/ab/ab12", "pgbackrest/backup/slipway/backup.info"),
        *("pgbackrest/backup/slipway/latest", "work/history.jsonl"),
    }
    # restic and the service look into it.
    assert (target / "restic/locks").is_dir()
    assert (target / "pgbackrest/backup/slipway/latest").readlink() == Path("20261129-120000F")
    assert (target / "restic/config").stat().st_mode & 0o777 == 0o640


def test_the_folder_itself_is_taken_as_well_as_a_copy_of_the_volume(copy: Path) -> None:
    assert disaster.root_of(copy) == disaster.root_of(copy / "repository") == copy / "repository"


def test_a_copy_that_was_killed_goes_on_with_what_is_missing(own: Settings, copy: Path) -> None:
    disaster.adopt(own, copy)
    target = own.repository_directory
    (target / "restic/data/ab/ab12").write_text("half")
    (target / "restic/data/ab/ab12.unfinished").write_text("ha")
    kept = (target / "restic/config").stat().st_ino
    disaster.adopt(own, copy)
    assert (target / "restic/data/ab/ab12").read_text() == "restic/data/ab/ab12"
    assert "restic/data/ab/ab12.unfinished" not in held(target)
    assert (target / "restic/config").stat().st_ino == kept


def test_what_is_no_repository_is_left_alone(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "restic").mkdir()
    for work in (lambda: disaster.adopt(own, tmp_path), lambda: disaster.survey(own, tmp_path, 1)):
        with pytest.raises(Refused, match="no repository"):
            work()
    assert not own.repository_directory.exists()
    with pytest.raises(Refused, match="there is no repository 2"):
        disaster.survey(own, None, 2)


def test_a_copy_of_another_machine_s_repository_has_its_own_names_of_copies(
    own: Settings, point: Callable[..., Point]
) -> None:
    here = repositories.all_of(own)[0]
    made = point(database={"labels": {"1": "20261129-120000F", "2": "20261129-120007F"}})
    assert made.label(here) == "20261129-120000F"
    copies = own.repository_directory / "pgbackrest/backup/slipway"
    (copies / "20261129-120007F").mkdir(parents=True)
    assert made.label(here) == "20261129-120007F"
    (copies / "20261129-120000F").mkdir()
    assert made.label(here) == "20261129-120000F"


def test_secrets_come_by_standard_input_and_are_this_process_s_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("SECRETS_DIRECTORY", "")
    settings.take(io.StringIO('{"backup_key": "of this test", "second_key": "PEM"}'))
    own = settings.load()
    assert own.backup_key == "of this test"
    assert own.secret("second_key").read_text() == "PEM"
    assert own.secret("second_key").stat().st_mode & 0o777 == 0o600
    assert own.secrets_directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("given", ["", "[]", '{"../backup_key": "x"}'])
def test_other_words_are_no_secrets(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Refused):
        settings.take(io.StringIO(given))
