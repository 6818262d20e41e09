"""A small Kafka broker whose topics hold any number of messages in no memory at all.

Message n of a partition is made by a function when somebody asks for it, so ten million offsets cost nothing to hold.
One node, read only: enough for a client to find a topic, ask where its partitions begin and end, and fetch. Limits of a
fetch are honoured as a broker does: at least one batch whole, then as many as fit. Batches have a fixed number of
offsets; an offset whose function gives None is left out of its batch, as compaction would.

It speaks through the codecs of kafka-python, so another client has to confirm it (`test_virtual_broker.py`).

    python -m support.virtual_broker TOPIC=OFFSETS ...

serves topics of four partitions and prints its port: for benchmarks, whose own process is to be measured.
"""

from __future__ import annotations

import json
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from kafka.protocol.consumer.fetch import FetchRequest, FetchResponse
from kafka.protocol.consumer.offsets import (
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)
from kafka.protocol.metadata import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.record.default_records import DefaultRecordBatchBuilder

NODE, EPOCH = 1, 0
EARLIEST, LATEST = -2, -1
UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE, UNSUPPORTED_VERSION, NO_COORDINATOR = 3, 1, 35, 15
BEGUN = datetime(2026, 11, 3, 12, tzinfo=UTC)

ValueOf = Callable[[int, int], bytes | None]
"""Bytes of the message at (partition, offset); None where there is none."""

# Per request: its class, and the newest version served.
_SERVED: dict[int, tuple[Any, int]] = {
    1: (FetchRequest, 11),
    2: (ListOffsetsRequest, 5),
    3: (MetadataRequest, 8),
    10: (FindCoordinatorRequest, 2),
    18: (ApiVersionsRequest, 2),
    23: (OffsetForLeaderEpochRequest, 3),
}


@dataclass
class VirtualTopic:
    """A topic; offsets [begins[p], ends[p]) of partition p exist. Both may be moved while it is served."""

    value_of: ValueOf
    ends: list[int]
    begins: list[int] = field(default_factory=list)
    batch: int = 50
    timestamp_ms: int = round(BEGUN.timestamp() * 1000)

    def __post_init__(self) -> None:
        self.begins = self.begins or [0] * len(self.ends)

    def records(self, partition: int, offset: int, max_bytes: int) -> bytes:
        """Batches from the one that holds `offset` on."""
        found = b""
        while offset < self.ends[partition]:
            first = offset - offset % self.batch
            last = min(first + self.batch, self.ends[partition])
            made = self._batch(partition, first, last)
            if found and len(found) + len(made) > max_bytes:
                break
            found, offset = found + made, last
        return found

    def _batch(self, partition: int, first: int, last: int) -> bytes:
        builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 30)
        for offset in range(first, last):
            value = self.value_of(partition, offset)
            if value is not None:
                builder.append(offset - first, self.timestamp_ms, None, value, [])
        # A batch keeps its last offset through compaction, even where that record is gone.
        builder._last_offset = last - 1 - first
        batch = bytearray(builder.build())
        struct.pack_into(">q", batch, 0, first)
        return bytes(batch)


class VirtualBroker:
    """Serves topics on a port of 127.0.0.1.

    Attributes:
        fetches, records_bytes: fetched partitions that were answered, and bytes of records sent for them.
        reached: smallest offset asked for, per (topic, partition); tells whether a client read all that is there.
    """

    def __init__(self, topics: dict[str, VirtualTopic]) -> None:
        self.topics = topics
        self.fetches = self.records_bytes = 0
        self._server = _Server(("127.0.0.1", 0), partial(_Connection, self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, key: int, request: Any, version: int) -> Any:
        """The response to a decoded request."""
        if key == 18:
            return _versions(0)
        if key == 3:
            return self._metadata(request)
        if key == 2:
            return self._list_offsets(request)
        if key == 1:
            return self._fetch(request)
        if key == 23:
            return self._epochs(request)
        return FindCoordinatorResponse(
            throttle_time_ms=0, error_code=NO_COORDINATOR, error_message="", node_id=-1, host="", port=-1
        )

    def _metadata(self, request: Any) -> Any:
        wanted = list(self.topics) if request.topics is None else [topic.name for topic in request.topics]
        topics = []
        for name in wanted:
            topic = self.topics.get(name)
            kept = MetadataResponse.MetadataResponseTopic
            partitions = [
                kept.MetadataResponsePartition(
                    error_code=0,
                    partition_index=index,
                    leader_id=NODE,
                    leader_epoch=EPOCH,
                    replica_nodes=[NODE],
                    isr_nodes=[NODE],
                    offline_replicas=[],
                )
                for index in range(len(topic.ends) if topic else 0)
            ]
            error = 0 if topic else UNKNOWN_TOPIC
            topics.append(kept(error_code=error, name=name, is_internal=False, partitions=partitions))
        node = MetadataResponse.MetadataResponseBroker(
            node_id=NODE, host="127.0.0.1", port=self.port, rack=None
        )
        return MetadataResponse(
            throttle_time_ms=0, brokers=[node], cluster_id="virtual", controller_id=NODE, topics=topics
        )

    def _list_offsets(self, request: Any) -> Any:
        answer = ListOffsetsResponse.ListOffsetsTopicResponse
        topics = []
        for asked in request.topics:
            topic = self.topics[asked.name]
            partitions = [
                answer.ListOffsetsPartitionResponse(
                    partition_index=part.partition_index,
                    error_code=0,
                    timestamp=-1,
                    offset=(topic.begins if part.timestamp == EARLIEST else topic.ends)[part.partition_index],
                    leader_epoch=EPOCH,
                )
                for part in asked.partitions
            ]
            topics.append(answer(name=asked.name, partitions=partitions))
        return ListOffsetsResponse(throttle_time_ms=0, topics=topics)

    def _fetch(self, request: Any) -> Any:
        answer = FetchResponse.FetchableTopicResponse
        topics = []
        for asked in request.topics:
            topic, partitions = self.topics[asked.topic], []
            for part in asked.partitions:
                index, offset = part.partition, part.fetch_offset
                inside = topic.begins[index] <= offset <= topic.ends[index]
                records = topic.records(index, offset, part.partition_max_bytes) if inside else b""
                self.fetches, self.records_bytes = self.fetches + 1, self.records_bytes + len(records)
                partitions.append(
                    answer.PartitionData(
                        partition_index=index,
                        error_code=0 if inside else OFFSET_OUT_OF_RANGE,
                        high_watermark=topic.ends[index],
                        last_stable_offset=topic.ends[index],
                        log_start_offset=topic.begins[index],
                        aborted_transactions=None,
                        preferred_read_replica=-1,
                        records=records,
                    )
                )
            topics.append(answer(topic=asked.topic, partitions=partitions))
        return FetchResponse(throttle_time_ms=0, error_code=0, session_id=0, responses=topics)

    def _epochs(self, request: Any) -> Any:
        answer = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult
        topics = [
            answer(
                topic=asked.topic,
                partitions=[
                    answer.EpochEndOffset(
                        error_code=0,
                        partition=part.partition,
                        leader_epoch=EPOCH,
                        end_offset=self.topics[asked.topic].ends[part.partition],
                    )
                    for part in asked.partitions
                ],
            )
            for asked in request.topics
        ]
        return OffsetForLeaderEpochResponse(throttle_time_ms=0, topics=topics)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def __init__(self, broker: VirtualBroker, *args: Any) -> None:
        self._broker = broker
        super().__init__(*args)

    def handle(self) -> None:
        while len(size := self.rfile.read(4)) == 4:
            frame = self.rfile.read(struct.unpack(">i", size)[0])
            key, version, correlation = struct.unpack_from(">hhi", frame)
            request_class, newest = _SERVED[key]
            if version > newest:
                # The client asks for versions in a form that may be too new, and is answered in the oldest.
                assert key == 18, f"request {key} in version {version}"
                response, version = _versions(UNSUPPORTED_VERSION), 0
            else:
                body = memoryview(frame)[_header_length(frame) :]
                request = request_class.decode(body, version=version)
                response = self._broker.answer(key, request, version)
            response.API_VERSION = version
            response.with_header(correlation_id=correlation)
            self.wfile.write(response.encode(framed=True, header=True))


def _header_length(frame: bytes) -> int:
    """Key, version, correlation id and the client's name; none of the versions served has tagged fields."""
    named = struct.unpack_from(">h", frame, 8)[0]
    return 10 + max(0, int(named))


def _versions(error: int) -> Any:
    return ApiVersionsResponse(
        error_code=error,
        throttle_time_ms=0,
        api_keys=[
            ApiVersionsResponse.ApiVersion(api_key=key, min_version=0, max_version=newest)
            for key, (_, newest) in _SERVED.items()
        ],
    )


@contextmanager
def serving(**topics: VirtualTopic) -> Iterator[VirtualBroker]:
    """A broker in a thread of this process."""
    broker = VirtualBroker(topics)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def request_of(partition: int, offset: int) -> bytes:
    """A request of about 500 bytes; every tenth of route `code`, the others `chat`."""
    asked = {
        "id": f"{partition}-{offset}",
        "timestamp": (BEGUN + timedelta(milliseconds=offset % 3_600_000)).isoformat(),
        "route": "code" if (offset * 2_654_435_761 + partition) % 1000 < 100 else "chat",
        "prompt": "word " * 70,
    }
    return json.dumps(asked).encode()


def main() -> None:
    """Serve until the parent closes standard input."""
    topics = {}
    for argument in sys.argv[1:]:
        name, offsets = argument.split("=")
        topics[name] = VirtualTopic(request_of, [int(offsets) // 4] * 4)
    broker = VirtualBroker(topics)
    broker.start()
    sys.stdout.write(f"{broker.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    broker.stop()


if __name__ == "__main__":
    main()
