"""A door in front of a broker that has neither TLS nor SASL: it asks for both as Kafka does, then passes bytes through.

Frames are read and written with kafka-python's codecs. Metadata is rewritten so that clients come back through the
door. A door may also refuse what is produced to a topic, which the broker behind it never does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from kafka.protocol.metadata import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FindCoordinatorResponse,
    MetadataResponse,
)
from kafka.protocol.producer import ProduceResponse
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

UNSUPPORTED_MECHANISM, AUTHENTICATION_FAILED = 33, 58
UNKNOWN_TOPIC, MESSAGE_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED = 3, 10, 29
_REWRITTEN = {r.API_KEY: r for r in (MetadataResponse, FindCoordinatorResponse, ProduceResponse)}
_VERSIONS = {r.API_KEY: r.max_version for r in (SaslHandshakeRequest, SaslAuthenticateRequest)}


@dataclass
class Door:
    """What the door asks for.

    Attributes:
        behind: port of the broker.
        tls: certificate shown; None speaks plain text.
        users: name -> password; None asks for no authentication.
        mechanisms: SASL mechanisms offered.
        refused: topic -> error code of everything produced to it.
        port: where it listens, on 127.0.0.1.
        logins: mechanism of every login that succeeded.
    """

    behind: int
    tls: ssl.SSLContext | None = None
    users: Mapping[str, str] | None = None
    mechanisms: tuple[str, ...] = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    refused: dict[str, int] = field(default_factory=dict)
    port: int = 0
    logins: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        broker, to_broker = await asyncio.open_connection("127.0.0.1", self.behind)
        asked: dict[int, tuple[int, int]] = {}
        login = Login(self) if self.users is not None else None
        back = asyncio.create_task(self._pass_back(broker, to_client, asked))
        try:
            while True:
                frame = await _read(client)
                key, version, correlation = struct.unpack_from(">hhi", frame)
                if key in _VERSIONS and login is not None:
                    _write(to_client, login.answer(key, version, correlation, frame))
                    await to_client.drain()
                    if login.failed:
                        return
                elif login is None or login.done or key == ApiVersionsRequest.API_KEY:
                    asked[correlation] = key, version
                    _write(to_broker, frame)
                    await to_broker.drain()
                else:
                    return  # as brokers do with those who do not introduce themselves
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            back.cancel()
            for writer in (to_broker, to_client):
                writer.close()
            with suppress(asyncio.CancelledError, ConnectionError, ssl.SSLError):
                await back

    async def _pass_back(
        self, broker: asyncio.StreamReader, to_client: asyncio.StreamWriter, asked: dict[int, tuple[int, int]]
    ) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                frame = await _read(broker)
                key, version = asked.pop(struct.unpack_from(">i", frame)[0])
                _write(to_client, self._rewrite(key, version, frame))
                await to_client.drain()
        to_client.close()

    def _rewrite(self, key: int, version: int, frame: bytes) -> bytes:
        if key == ApiVersionsRequest.API_KEY and self.users is not None:
            return self._with_sasl(version, frame)
        if key not in _REWRITTEN:
            return frame
        response = _REWRITTEN[key].decode(frame, version=version, header=True)
        if key == MetadataResponse.API_KEY:
            for broker in response.brokers:
                broker.port = self.port
        elif key == FindCoordinatorResponse.API_KEY:
            for found in response.coordinators if version >= 4 else [response]:
                found.port = self.port
        else:
            for topic in response.responses:
                for partition in topic.partition_responses:
                    partition.error_code = self.refused.get(topic.name, partition.error_code)
        return bytes(response.encode(header=True))

    def _with_sasl(self, version: int, frame: bytes) -> bytes:
        response = ApiVersionsResponse.decode(frame, version=version, header=True)
        known = {entry.api_key for entry in response.api_keys}
        for key, newest in _VERSIONS.items():
            if key not in known:
                response.api_keys.append(
                    ApiVersionsResponse.ApiVersion(
                        api_key=key, min_version=0, max_version=newest, version=version
                    )
                )
        return bytes(response.encode(header=True))


class Login:
    """One client that introduces itself."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._mechanism = ""
        self._steps: Iterator[bytes] | None = None
        self._given = b""
        self.done = self.failed = False

    def answer(self, key: int, version: int, correlation: int, frame: bytes) -> bytes:
        """The frame that answers a handshake or a step of authentication."""
        response: Any
        if key == SaslHandshakeRequest.API_KEY:
            self._mechanism = SaslHandshakeRequest.decode(frame, version=version, header=True).mechanism
            self.failed = self._mechanism not in self._door.mechanisms
            response = SaslHandshakeResponse(
                error_code=UNSUPPORTED_MECHANISM if self.failed else 0,
                mechanisms=list(self._door.mechanisms),
                version=version,
            )
        else:
            given = SaslAuthenticateRequest.decode(frame, version=version, header=True).auth_bytes
            said = self._step(bytes(given))
            response = SaslAuthenticateResponse(
                error_code=AUTHENTICATION_FAILED if self.failed else 0,
                error_message="Authentication failed: Invalid username or password" if self.failed else None,
                auth_bytes=said,
                session_lifetime_ms=0,
                version=version,
            )
        response.with_header(correlation_id=correlation)
        return bytes(response.encode(header=True))

    def _step(self, given: bytes) -> bytes:
        self._given = given
        if self._steps is None:
            self._steps = self._plain() if self._mechanism == "PLAIN" else self._scram()
        try:
            said = next(self._steps)
        except PermissionError:
            self.failed = True
            return b""
        if self.done:
            self._door.logins.append(self._mechanism)
        return said

    def _plain(self) -> Iterator[bytes]:
        """RFC 4616."""
        _, user, password = self._given.decode().split("\0")
        assert self._door.users is not None
        if self._door.users.get(user) != password:
            raise PermissionError
        self.done = True
        yield b""

    def _scram(self) -> Iterator[bytes]:
        """RFC 5802, without channel binding."""
        algorithm = "sha256" if self._mechanism == "SCRAM-SHA-256" else "sha512"

        def keyed(key: bytes, text: bytes) -> bytes:
            return hmac.new(key, text, algorithm).digest()

        bare = self._given.removeprefix(b"n,,")
        said = dict(part.split(b"=", 1) for part in bare.split(b","))
        assert self._door.users is not None
        password = self._door.users.get(said[b"n"].decode(), base64.b64encode(os.urandom(9)).decode())
        salt, rounds = os.urandom(16), 4096
        nonce = said[b"r"] + base64.b64encode(os.urandom(12))
        first = b"r=" + nonce + b",s=" + base64.b64encode(salt) + b",i=%d" % rounds
        yield first

        proofless, _, proof = self._given.rpartition(b",p=")
        assert dict(part.split(b"=", 1) for part in proofless.split(b","))[b"r"] == nonce
        salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), salt, rounds)
        signed = b",".join((bare, first, proofless))
        stored = hashlib.new(algorithm, keyed(salted, b"Client Key")).digest()
        shown = bytes(
            a ^ b for a, b in zip(base64.b64decode(proof), keyed(stored, signed), strict=True)
        )  # the client's key, where it knows the password
        if hashlib.new(algorithm, shown).digest() != stored:
            raise PermissionError
        self.done = True
        yield b"v=" + base64.b64encode(keyed(keyed(salted, b"Server Key"), signed))


async def _read(stream: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await stream.readexactly(4))
    if not 0 < size < 200_000_000:
        raise ConnectionError("no frame of Kafka")
    return await stream.readexactly(size)


def _write(stream: asyncio.StreamWriter, frame: bytes) -> None:
    stream.write(struct.pack(">i", len(frame)) + frame)


@contextmanager
def open_door(door: Door) -> Iterator[Door]:
    """Serve on a free port, in a thread of its own."""
    loop = asyncio.new_event_loop()
    # A client that gives up in the middle of TLS is no fault of the door.
    loop.set_exception_handler(lambda _loop, _context: None)
    ready = threading.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await door.serve(client, to_client)
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(
            asyncio.start_server(serve, "127.0.0.1", door.port, ssl=door.tls, limit=1 << 22)
        )
        door.port = server.sockets[0].getsockname()[1]
        ready.set()
        loop.run_forever()
        server.close()
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, name="kafka-door", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield door
    finally:
        stop: Callable[[], None] = loop.stop
        loop.call_soon_threadsafe(stop)
        thread.join(10)
