"""How tests open a store: SQLite makes its key file beside it, a database on a server is given a key of its own."""

from __future__ import annotations

from pydantic import SecretStr

from riskmon.config import StoreConfig

TEST_KEY = SecretStr("cmlza21vbiB0ZXN0cyB1c2UgdGhpcyBvbmUga2V5ISE=")


def store_at(url: str) -> StoreConfig:
    """Settings of the store with this URL."""
    return StoreConfig(url=url) if url.startswith("sqlite") else StoreConfig(url=url, key=TEST_KEY)
