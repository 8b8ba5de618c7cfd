from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from slipway_backend.files import FileStore, FileTooLarge


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    made = FileStore(tmp_path / "files")
    made.prepare()
    return made


def keep(store: FileStore, content: bytes) -> str:
    incoming = store.receive(1000)
    incoming.write(content)
    incoming.sync()
    store.keep(incoming)
    incoming.discard()
    return incoming.sha256


def test_a_kept_file_is_named_by_its_content_and_stored_once(store: FileStore) -> None:
    sha256 = keep(store, b"content")
    assert sha256 == hashlib.sha256(b"content").hexdigest() == keep(store, b"content")
    assert store.path(sha256).read_bytes() == b"content"
    assert len([path for path in store.directory.rglob("*") if path.is_file()]) == 1


def test_a_discarded_upload_leaves_nothing(store: FileStore) -> None:
    incoming = store.receive(1000)
    incoming.write(b"content")
    incoming.discard()
    assert [path for path in store.directory.rglob("*") if path.is_file()] == []


def test_bytes_above_the_limit_are_not_accepted(store: FileStore) -> None:
    incoming = store.receive(4)
    incoming.write(b"four")
    with pytest.raises(FileTooLarge):
        incoming.write(b"!")
    incoming.discard()


def test_an_upload_that_no_longer_fits_on_the_disk_is_still_forgotten(store: FileStore) -> None:
    incoming = store.receive(1000)
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), incoming._stream.fileno())
    incoming.write(b"content")
    with pytest.raises(OSError, match="No space left"):
        incoming.sync()
    incoming.discard()
    assert not incoming.path.exists()


def test_a_file_that_goes_leaves_its_folder_to_an_upload_that_comes(store: FileStore) -> None:
    sha256 = keep(store, b"content")
    store.remove(sha256)
    assert store.path(sha256).parent.is_dir()


def test_only_files_older_than_the_moment_are_listed_and_forgotten(store: FileStore) -> None:
    sha256 = keep(store, b"content")
    old, new = (store.directory / "incoming" / name for name in ("upload-old", "upload-new"))
    for path in (old, new):
        path.write_bytes(b"first half")
    for path in (store.path(sha256), old):
        os.utime(path, (1000, 1000))
    keep(store, b"other content")
    assert store.kept_before(2000) == [sha256]
    assert store.forget_uploads_before(2000) == 1
    assert (old.exists(), new.exists()) == (False, True)


def test_removing_twice_is_fine(store: FileStore) -> None:
    sha256 = keep(store, b"content")
    store.remove(sha256)
    store.remove(sha256)
    assert not store.path(sha256).exists()
