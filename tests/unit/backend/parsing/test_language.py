"""The language of a document, found from its own words."""

from __future__ import annotations

import pytest

from slipway_backend.parsing import Block
from slipway_backend.parsing.language import identify


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The lift stops when the wind at the top is above 45 kilometres per hour.", "english"),
        ("Die Seilbahn hält an, sobald der Wind über 45 Kilometer je Stunde steigt.", "german"),
        ("Le téléphérique s'arrête dès que le vent dépasse 45 kilomètres par heure.", "french"),
        ("Канатная дорога останавливается, когда ветер сильнее обычного.", "russian"),
        ("Kolejka linowa zatrzymuje się, gdy wiatr przekracza dozwoloną prędkość.", "simple"),
        ("Stop.", None),
        ("4711 " * 100, None),
    ],
)
def test_the_configuration_follows_the_language(text: str, language: str | None) -> None:
    assert identify([Block("text", text)]) == language


def test_code_does_not_count_and_tables_only_without_prose() -> None:
    code = Block("code", "for value in values: the_total = the_total + value\n" * 50)
    assert identify([code]) is None
    table = Block("table", "Bezeichnung | Preis\nSchmierfett für die Seilscheiben | zwölf Euro")
    assert identify([code, table]) == "german"
