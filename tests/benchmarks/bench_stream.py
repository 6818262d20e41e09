"""Stream mode against a bare poll loop that decodes nothing, with both Kafka clients; and memory in a long run.

    python tests/benchmarks/bench_stream.py

Messages of 500 bytes on four routes, each a stratum, from four partitions of a broker in a process of its own. Loops
take turns, so that a busy neighbour slows all of them, and the figure to compare is the ratio. "Per core" is per second
of processor time of this process: all its threads count, those in which librdkafka or kafka-python fetches among them,
and those of the broker do not. Wall time counts waiting for the broker and for neighbours on the machine too.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import confluent_kafka
from support.endless import BATCH_MESSAGES, NOON, TOPIC, endless_broker

from riskmon.config import KafkaConfig, TrafficConfig
from riskmon.traffic.intake import POLL_MESSAGES, Intake
from riskmon.traffic.kafka import KafkaSource

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka

PARTITIONS = 4
ROUNDS = 5
ROUND_MESSAGES = 200_000
LONG_RUN = 2_000_000

Loop = Callable[[str, int], int]


def bare_kafka_python(server: str, messages: int) -> int:
    """Poll and throw away."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=[server], group_id=None, auto_offset_reset="earliest")
    consumer.assign([kafka.TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)])
    read = 0
    while read < messages:
        polled = consumer.poll(timeout_ms=1000, max_records=POLL_MESSAGES)
        read += sum(len(records) for records in polled.values())
    consumer.close()
    return read


def bare_confluent(server: str, messages: int) -> int:
    """Consume and throw away."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": server,
            "group.id": "bare",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.assign([confluent_kafka.TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
    read = 0
    while read < messages:
        read += len(consumer.consume(POLL_MESSAGES, 1.0))
    consumer.close()
    return read


def stream(client: str) -> Loop:
    """riskmon's stream mode: count every message, sample, and drop the rest."""

    def loop(server: str, messages: int) -> int:
        config = TrafficConfig.model_validate(
            {
                "kafka": {
                    "bootstrap_servers": [server],
                    "topic": TOPIC,
                    "start": "earliest",
                    "client": client,
                },
                "strata": ["attributes.route"],
            }
        )
        assert config.kafka is not None
        source = KafkaSource(config.kafka)
        source.start({})
        intake = Intake(source, config)
        read = counted = 0
        while read < messages:
            batch = intake.collect(NOON)
            read += batch.consumed
            counted += sum(batch.requests.values())
        source.close()
        assert counted == read, "a message was not counted"
        return read

    return loop


def measure(loop: Loop, server: str) -> tuple[float, float]:
    """Messages per second of processor time, and of wall time."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    read = loop(server, ROUND_MESSAGES)
    return read / (time.process_time() - cpu), read / (time.perf_counter() - wall)


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(client: str, server: str) -> list[tuple[int, float]]:
    """Resident memory after so many messages of one long run."""
    config = KafkaConfig.model_validate(
        {"bootstrap_servers": [server], "topic": TOPIC, "start": "earliest", "client": client}
    )
    source = KafkaSource(config)
    source.start({})
    intake = Intake(source, TrafficConfig(kafka=config, strata=("attributes.route",)))
    read, seen = 0, []
    for mark in (ROUND_MESSAGES, LONG_RUN // 2, LONG_RUN):
        while read < mark:
            read += intake.collect(NOON).consumed
        seen.append((read, rss_mb()))
    source.close()
    return seen


def main() -> None:
    """Print the tables."""
    loops = {
        "kafka-python, bare poll loop": bare_kafka_python,
        "kafka-python, riskmon": stream("kafka-python"),
        "confluent, bare consume loop": bare_confluent,
        "confluent, riskmon": stream("confluent"),
    }
    per_partition = LONG_RUN // PARTITIONS + 10 * BATCH_MESSAGES
    with endless_broker(PARTITIONS, per_partition) as server:
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
        for _ in range(ROUNDS):
            for name, loop in loops.items():
                rates[name].append(measure(loop, server))
        sys.stdout.write(
            f"{ROUNDS} rounds of {ROUND_MESSAGES:,} messages of 500 bytes, 4 partitions, 4 strata, medians\n"
            f"{'':32}{'per core':>12}{'wall':>12}   messages/s\n"
        )
        for name, measured in rates.items():
            per_core, wall = (statistics.median(column) for column in zip(*measured, strict=True))
            sys.stdout.write(f"{name:32}{per_core:12,.0f}{wall:12,.0f}\n")
        for client in ("kafka-python", "confluent"):
            bare = next(name for name in loops if name.startswith(f"{client}, bare"))
            pairs = zip(rates[f"{client}, riskmon"], rates[bare], strict=True)
            per_core, wall = zip(*[(ours[0] / its[0], ours[1] / its[1]) for ours, its in pairs], strict=True)
            sys.stdout.write(
                f"riskmon / bare, {client}: {statistics.median(per_core):.0%} per core, "
                f"{statistics.median(wall):.0%} wall\n"
            )
        for client in ("kafka-python", "confluent"):
            seen = ", ".join(
                f"{megabytes:.0f} MB after {read:,}" for read, megabytes in memory(client, server)
            )
            sys.stdout.write(f"resident memory, {client}: {seen} messages\n")


if __name__ == "__main__":
    main()
