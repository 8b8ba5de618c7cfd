from __future__ import annotations

from pathlib import Path

import pytest

from slipway_backend.errors import StartRefused
from slipway_backend.settings import Settings, load_settings


def test_a_secret_may_be_a_file_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jwt_secret").write_text("f" * 40 + "\n")
    (tmp_path / "database_url").write_text("from a file")
    monkeypatch.setenv("DATABASE_URL", "from the environment")
    settings = load_settings(tmp_path)
    assert settings.require_jwt_secret() == "f" * 40
    assert settings.require_database() == "from the environment"


def test_a_wrong_value_is_one_sentence_that_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "eight thousand")
    with pytest.raises(StartRefused, match=r"PORT: .*integer") as caught:
        load_settings(tmp_path / "missing")
    assert "eight thousand" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "require", "sentence"),
    [
        (Settings(database_url=""), "require_database", "DATABASE_URL is not set"),
        (Settings(jwt_secret="short"), "require_jwt_secret", "5 bytes but needs at least 32"),
        (Settings(admin_password="short"), "require_admin_password", "at least 12"),
    ],
)
def test_what_is_missing_or_too_short_is_refused(
    settings: Settings, require: str, sentence: str
) -> None:
    with pytest.raises(StartRefused, match=sentence):
        getattr(settings, require)()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(llm_base_url="http://llm/v1"), "LLM_BASE_URL is set but LLM_MODEL is not"),
        (Settings(ollama_base_url="http://llm"), "OLLAMA_BASE_URL is set but LLM_MODEL is not"),
        (Settings(llm_base_url="llm:8000", llm_model="m"), "begins with http"),
        (
            Settings(llm_base_url="http://a/v1", ollama_base_url="http://b", llm_model="m"),
            "both set",
        ),
    ],
)
def test_half_a_language_model_is_refused(settings: Settings, sentence: str) -> None:
    with pytest.raises(StartRefused, match=sentence) as caught:
        settings.require_language_model()
    assert str(caught.value).count(". ") == 0


def test_a_language_model_has_one_address_or_none() -> None:
    assert Settings(llm_model="m").require_language_model() == ""
    plain = Settings(llm_base_url="http://llm/v1/", llm_model="m")
    assert plain.require_language_model() == "http://llm/v1"
    ollama = Settings(ollama_base_url="http://ollama:11434/", llm_model="m")
    assert ollama.require_language_model() == "http://ollama:11434/v1"
