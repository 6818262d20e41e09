"""A Kafka broker of one long topic that is stored nowhere, for measuring readers.

    cd tests && python -m support.endless PORT PARTITIONS MESSAGES_PER_PARTITION

Every partition holds the same record batch over and over, at offsets of its own and with new ids in its messages, made
when it is asked for. Limits of bytes per fetch and waits are honoured, as a real broker does and the embedded one does
not. It speaks the four requests that reading without a group needs, through the codecs of kafka-python.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from crc32c import crc32c
from kafka.protocol.consumer import FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse
from kafka.protocol.metadata import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.record.memory_records import MemoryRecordsBuilder

TOPIC = "endless"
ROUTES = ("chat", "search", "code", "agent")
NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
MESSAGE_BYTES = 500
BATCH_MESSAGES = 1_000
ID_DIGITS = 12

_SPOKEN = {
    18: (ApiVersionsRequest, ApiVersionsResponse, 3),
    3: (MetadataRequest, MetadataResponse, 12),
    2: (ListOffsetsRequest, ListOffsetsResponse, 7),
    1: (FetchRequest, FetchResponse, 11),
}
_CRC_AT, _CHECKED_FROM = 17, 21
_UNSUPPORTED_VERSION = 35


def message(number: int) -> bytes:
    """A chat request padded to 500 bytes, on one of four routes."""
    request: dict[str, Any] = {
        "id": f"req-{number:0{ID_DIGITS}d}",
        "timestamp": (NOON + timedelta(milliseconds=number)).isoformat(timespec="milliseconds"),
        "model": "assistant-7",
        "attributes": {"route": ROUTES[number % len(ROUTES)], "region": "eu"},
        "messages": [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": ""}],
    }
    request["messages"][1]["content"] = "w " * ((MESSAGE_BYTES - len(json.dumps(request))) // 2)
    return json.dumps(request).encode().ljust(MESSAGE_BYTES)


class Batches:
    """The record batch, at any place of any partition."""

    def __init__(self) -> None:
        builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=2**30)
        for number in range(BATCH_MESSAGES):
            builder.append(
                timestamp=int(NOON.timestamp() * 1000) + number, key=None, value=message(number), headers=[]
            )
        builder.close()
        self._batch = np.frombuffer(bytes(builder.buffer()), np.uint8)
        starts = np.array([found.start() + 4 for found in re.finditer(rb"req-\d", bytes(builder.buffer()))])
        assert len(starts) == BATCH_MESSAGES
        self._digits_at = starts[:, None] + np.arange(ID_DIGITS)  # [messages, digits]
        self._powers = 10 ** np.arange(ID_DIGITS - 1, -1, -1, dtype=np.int64)

    def at(self, partition: int, number: int) -> bytes:
        """The batch of this number in a partition."""
        batch = self._batch.copy()
        first = partition * 10 ** (ID_DIGITS - 2) + number * BATCH_MESSAGES
        ids = np.arange(first, first + BATCH_MESSAGES, dtype=np.int64)
        batch[self._digits_at] = ids[:, None] // self._powers % 10 + ord("0")
        struct.pack_into(">q", batch.data, 0, number * BATCH_MESSAGES)
        struct.pack_into(">I", batch.data, _CRC_AT, crc32c(batch[_CHECKED_FROM:].tobytes()))
        return batch.tobytes()


class Server(socketserver.ThreadingTCPServer):
    """Answers requests, one thread per connection."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, partitions: int, messages: int) -> None:
        assert messages % BATCH_MESSAGES == 0
        super().__init__(("127.0.0.1", port), _Connection)
        self.partitions = partitions
        self.messages = messages
        self.batches = Batches()

    def answer(self, key: int, request: Any) -> dict[str, Any]:
        """The fields of the response."""
        match key:
            case 18:
                version_range = ApiVersionsResponse.ApiVersion
                keys = [
                    version_range(api_key=k, min_version=0, max_version=newest)
                    for k, (_, _, newest) in _SPOKEN.items()
                ]
                return {"error_code": 0, "throttle_time_ms": 0, "api_keys": keys}
            case 3:
                return self._metadata()
            case 2:
                return {"throttle_time_ms": 0, "topics": [self._offsets(topic) for topic in request.topics]}
        return self._fetch(request)

    def _metadata(self) -> dict[str, Any]:
        topic_class = MetadataResponse.MetadataResponseTopic
        partitions = [
            topic_class.MetadataResponsePartition(
                error_code=0,
                partition_index=partition,
                leader_id=1,
                leader_epoch=0,
                replica_nodes=[1],
                isr_nodes=[1],
                offline_replicas=[],
            )
            for partition in range(self.partitions)
        ]
        topic = topic_class(error_code=0, name=TOPIC, is_internal=False, partitions=partitions)
        broker = MetadataResponse.MetadataResponseBroker(
            node_id=1, host="127.0.0.1", port=self.server_address[1], rack=None
        )
        return {
            "throttle_time_ms": 0,
            "brokers": [broker],
            "cluster_id": "endless",
            "controller_id": 1,
            "topics": [topic],
        }

    def _offsets(self, topic: Any) -> Any:
        topic_class = ListOffsetsResponse.ListOffsetsTopicResponse
        found = [
            topic_class.ListOffsetsPartitionResponse(
                partition_index=asked.partition_index,
                error_code=0,
                timestamp=-1,
                offset=0 if asked.timestamp == -2 else self.messages,
                leader_epoch=0,
            )
            for asked in topic.partitions
        ]
        return topic_class(name=topic.name, partitions=found)

    def _fetch(self, request: Any) -> dict[str, Any]:
        topic_class = FetchResponse.FetchableTopicResponse
        left = request.max_bytes
        topics, anything = [], False
        for topic in request.topics:
            partitions = []
            for asked in topic.partitions:
                limit = min(left, asked.partition_max_bytes)
                records = self._records(asked.partition, asked.fetch_offset, limit)
                left -= len(records)
                anything = anything or bool(records)
                partitions.append(
                    topic_class.PartitionData(
                        partition_index=asked.partition,
                        error_code=0,
                        high_watermark=self.messages,
                        last_stable_offset=self.messages,
                        log_start_offset=0,
                        aborted_transactions=None,
                        preferred_read_replica=-1,
                        records=records,
                    )
                )
            topics.append(topic_class(topic=topic.topic, partitions=partitions))
        if not anything:
            time.sleep(request.max_wait_ms / 1000)
        return {"throttle_time_ms": 0, "error_code": 0, "session_id": 0, "responses": topics}

    def _records(self, partition: int, offset: int, max_bytes: int) -> bytes:
        """Whole batches from the one that holds the offset, at most so many bytes."""
        found, size = [], 0
        for number in range(offset // BATCH_MESSAGES, self.messages // BATCH_MESSAGES):
            batch = self.batches.at(partition, number)
            if size + len(batch) > max_bytes:
                break
            found.append(batch)
            size += len(batch)
        return b"".join(found)


class _Connection(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.request.makefile("rb") as stream, suppress(ConnectionError):
            while len(size := stream.read(4)) == 4:
                self.request.sendall(self._respond(stream.read(struct.unpack(">i", size)[0])))

    def _respond(self, frame: bytes) -> bytes:
        key, version, correlation = struct.unpack_from(">hhi", frame)
        request_class, response_class, newest = _SPOKEN[key]
        if version > newest:  # how a client learns which versions there are
            response = response_class(
                version=0, **self.server.answer(18, None) | {"error_code": _UNSUPPORTED_VERSION}
            )
        else:
            request = request_class[version].decode(frame, header=True)
            response = response_class(version=version, **self.server.answer(key, request))
        response.with_header(correlation_id=correlation)
        encoded: bytes = response.encode(header=True, framed=True)
        return encoded


@contextmanager
def endless_broker(partitions: int, messages: int) -> Iterator[str]:
    """A broker in a process of its own, so that its work is not counted as the reader's; yields host:port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "support.endless", str(port), str(partitions), str(messages)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"the broker ended with {process.returncode}") from None
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    port, partitions, messages = map(int, sys.argv[1:])
    Server(port, partitions, messages).serve_forever()
