"""The revisions of a checkout are what its modules say, and an image's label says the same."""

from __future__ import annotations

from pathlib import Path

from slipway.config.layout import checkout
from slipway.facts import migrations
from slipway.facts.migrations import Revision


def test_the_revisions_of_this_checkout_are_read_without_importing_them() -> None:
    found = migrations.of_checkout(checkout().root)
    assert found[0] == Revision("0001", "expand")
    assert len(found) == len([*(checkout().root / migrations.FOLDER).glob("v*.py")])


def test_a_label_is_read_as_it_was_written() -> None:
    revisions = (Revision("0001", "expand"), Revision("0002", "contract"))
    label = migrations.label(revisions)
    assert label == "0001:expand 0002:contract"
    assert migrations.of_labels({migrations.LABEL: label}) == revisions


def test_an_image_without_the_label_or_with_an_empty_one_says_nothing() -> None:
    assert migrations.of_labels({}) is None
    assert migrations.of_labels({migrations.LABEL: ""}) is None


def test_a_checkout_without_migrations_has_none(tmp_path: Path) -> None:
    assert migrations.of_checkout(tmp_path) == ()
