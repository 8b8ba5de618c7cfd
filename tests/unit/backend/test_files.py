from __future__ import annotations

import hashlib
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


def test_removing_twice_is_fine(store: FileStore) -> None:
    sha256 = keep(store, b"content")
    store.remove(sha256)
    store.remove(sha256)
    assert not store.path(sha256).exists()
