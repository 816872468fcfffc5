from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import load
from proxy.config.schema import Configuration
from proxy.errors import ConfigurationError

Load = Callable[..., Configuration]
Mistakes = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that loads `config.yaml`, the working directory's, with a text in it."""
    monkeypatch.chdir(tmp_path)

    def load_text(
        text: str | bytes | None, environ: Mapping[str, str] | None = None, **options: Any
    ) -> Configuration:
        if text is not None:
            content = text if isinstance(text, bytes) else text.encode()
            Path("config.yaml").write_bytes(content)
        path = None if text is None else Path("config.yaml")
        return load(path, environ=environ or {}, **options)

    return load_text


@pytest.fixture
def mistakes(load_text: Load) -> Mistakes:
    """Return a function that does the same, and returns the mistakes it is told."""

    def mistakes(*args: Any, **options: Any) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load_text(*args, **options)
        assert str(caught.value) == "\n".join(caught.value.mistakes)
        return list(caught.value.mistakes)

    return mistakes
