from __future__ import annotations

import pytest

from slipway_backend.api.uploads import clean_filename


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (b"report.pdf", "report.pdf"),
        (b"../../etc/passwd", "passwd"),
        (b"C:\\Users\\me\\report.pdf", "report.pdf"),
        ("år 2031.md".encode(), "år 2031.md"),
        (b"a\x00b\nc.txt", "abc.txt"),
        (b"%22quoted%22.txt", '"quoted".txt'),
        (b"50%20off.md", "50%20off.md"),
        (b"a%0Ab.md", "ab.md"),
        ("\u202egpj.exe".encode(), "gpj.exe"),
        (b"..", ".."),
        (b"", "unnamed"),
        (b"x" * 300 + b".pdf", "x" * 251 + ".pdf"),
    ],
)
def test_a_file_name_is_only_a_name(raw: bytes, clean: str) -> None:
    assert clean_filename(raw) == clean
