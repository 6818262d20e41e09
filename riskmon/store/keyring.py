"""Sealing: text goes into the database encrypted, and comes out only with the key it was sealed with.

AES-256-GCM (NIST SP 800-38D) with a fresh random nonce of 96 bits. A sealed value is

    version (1 byte) | id of the key (8 bytes) | nonce (12 bytes) | ciphertext and tag

and the name of the column it belongs to is authenticated with it, so that a value moved into another column does not
open. The id of a key is the beginning of a hash of it: it says which key opens a value and tells nothing of the key.

A keyring holds several keys: the first seals, all of them open. That is what lets a key be replaced without an
interruption. Random nonces bound what one key may seal: NIST allows 2^32 values, some twenty years of a million
sampled prompts a day with their hits left out of account; replace the key long before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from riskmon.errors import StoreLocked

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _ID_BYTES + _NONCE_BYTES


class Keyring:
    """Keys of one store, the one that seals first.

    Attributes:
        ids: of the keys in their order, 16 hexadecimal digits each.
        origin: where the keys come from, for messages.
    """

    def __init__(self, keys: Sequence[bytes], origin: str) -> None:
        """Take over keys of 32 bytes each, at least one."""
        self.origin = origin
        self.ids = tuple(key_id(key) for key in keys)
        self._ciphers = {bytes.fromhex(name): AESGCM(key) for name, key in zip(self.ids, keys, strict=True)}
        self._first = bytes.fromhex(self.ids[0])

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.ids)} from {self.origin})"

    def seal(self, plain: bytes, column: str) -> bytes:
        """The value encrypted with the first key, for this column alone."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, plain, column.encode())
        return _VERSION + self._first + nonce + sealed

    def open(self, sealed: bytes, column: str) -> bytes:
        """Inverse of `seal`.

        Raises:
            StoreLocked: none of the keys sealed it, or it was changed since.
        """
        name, nonce = sealed[1:_HEAD_BYTES][:_ID_BYTES], sealed[1 + _ID_BYTES : _HEAD_BYTES]
        cipher = self._ciphers.get(name) if sealed[:1] == _VERSION else None
        if cipher is None:
            raise StoreLocked(
                f"a value of {column} is sealed with key {name.hex()}, which is not among those of {self.origin} "
                f"({', '.join(self.ids)}); put that key back behind the others, and restart riskmon"
            )
        try:
            return cipher.decrypt(nonce, sealed[_HEAD_BYTES:], column.encode())
        except InvalidTag as exc:
            raise StoreLocked(
                f"a value of {column} was changed after it was sealed with key {name.hex()}; restore the store from "
                "a backup, and find out who can write to it"
            ) from exc

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that no key here has."""
        return [name for name in ids if name not in self.ids]


def new_key() -> bytes:
    """A fresh random key."""
    return AESGCM.generate_key(bit_length=8 * KEY_BYTES)


def key_id(key: bytes) -> str:
    """The public name of a key, 16 hexadecimal digits."""
    return hashlib.sha256(b"riskmon key " + key).hexdigest()[: 2 * _ID_BYTES]


def encode_keys(keys: Iterable[bytes]) -> str:
    """Keys as text: base64, one a line."""
    return "".join(base64.b64encode(key).decode() + "\n" for key in keys)


def parse_keys(text: str, origin: str) -> list[bytes]:
    """Inverse of `encode_keys`; blanks and commas also part keys, and the letters of URL-safe base64 are taken, too.

    Raises:
        StoreLocked: it holds no key, one that is not 32 bytes in base64, or the same one twice.
    """
    keys: list[bytes] = []
    for number, word in enumerate(text.replace(",", " ").split(), start=1):
        try:
            key = base64.b64decode(word.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise StoreLocked(
                f"entry {number} of {origin} is not a key: a key is {KEY_BYTES} random bytes in base64, such as "
                f"'openssl rand -base64 {KEY_BYTES}' prints"
            )
        if key in keys:
            raise StoreLocked(f"entry {number} of {origin} repeats an earlier key; give every key once")
        keys.append(key)
    if not keys:
        raise StoreLocked(f"{origin} holds no key; put the key back that the store's text was sealed with")
    return keys
