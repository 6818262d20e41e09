"""Columns that hold text: sealed on the way into the database, opened on the way out, unnoticed by the queries.

The keys belong to a database and not to a column, so they are found by the dialect, of which every engine has its own.
"""

from __future__ import annotations

import json
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

from riskmon.store.keyring import Keyring

_KEYRINGS: WeakKeyDictionary[Dialect, Keyring] = WeakKeyDictionary()


def use_keys(dialect: Dialect, keyring: Keyring) -> None:
    """From now on values of this engine are sealed and opened with these keys."""
    _KEYRINGS[dialect] = keyring


def keys_of(dialect: Dialect) -> Keyring:
    """The keys that values of this engine are sealed and opened with."""
    return _KEYRINGS[dialect]


class SealedBytes(TypeDecorator[bytes]):
    """Bytes in, bytes out, sealed in between; None stays None.

    Reading raises `StoreLocked` where no key of the database opens a value.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, column: str) -> None:
        """`column` is table and column, to which a value is bound."""
        super().__init__()
        self.column = column

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        """The value sealed with the first key."""
        return None if value is None else keys_of(dialect).seal(self._encode(value), self.column)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Any:
        """The value opened."""
        return None if value is None else self._decode(keys_of(dialect).open(bytes(value), self.column))

    def _encode(self, value: Any) -> bytes:
        encoded: bytes = value
        return encoded

    def _decode(self, plain: bytes) -> Any:
        return plain


class SealedJson(SealedBytes):
    """Whatever JSON holds, sealed. Its escapes carry every character, lone surrogates too."""

    cache_ok = True

    def _encode(self, value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode("ascii")

    def _decode(self, plain: bytes) -> Any:
        return json.loads(plain)
