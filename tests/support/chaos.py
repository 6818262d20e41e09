"""What a chaos test needs around the daemon: steady traffic, a judge that breaks, a lock on the store."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from support.judge_endpoint import Reply
from support.kafka import EmbeddedBroker

PROMPTS = ("ask red or blue", "good calm red", "red and blue")
PER_SECOND = 20


class Traffic:
    """Messages at a steady rate, from a client that keeps what the broker does not take yet."""

    def __init__(self, broker: EmbeddedBroker, topic: str) -> None:
        self.sent = 0
        self.refused: list[KafkaError] = []
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 300_000,
                "linger.ms": 5,
                "reconnect.backoff.max.ms": 500,
            }
        )
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """Stop, and wait until the broker has all; gives how many messages were sent."""
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(30) == 0
        assert self.refused == []
        return self.sent

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While inside, nothing is sent, and the broker has all that was.

        The embedded broker forgets what it takes in the moment it is told to end.
        """
        with self._turn:
            assert self._producer.flush(30) == 0
            yield

    def _send(self) -> None:
        begun = time.monotonic()
        while not self._stop.wait(0.05):
            with self._turn:
                self._send_due(begun)

    def _send_due(self, begun: float) -> None:
        while self.sent < (time.monotonic() - begun) * PER_SECOND:
            value = {"id": f"r{self.sent}", "prompt": PROMPTS[self.sent % 3], "timestamp": time.time()}
            self._producer.produce(self._topic, json.dumps(value).encode(), on_delivery=self._delivered)
            self.sent += 1
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self.refused.append(error)


class Judge:
    """What the judge's endpoint does at present."""

    def __init__(self) -> None:
        self.broken: Reply | None = None

    def __call__(self, _number: int, text: str) -> Reply:
        if self.broken is not None:
            return self.broken
        return Reply("100" if "bad" in text else "0", delay_s=0.1)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """An exclusive transaction of another process."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=30)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def held(broker: EmbeddedBroker, topic: str) -> int:
    """Messages that the broker holds."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "count"})
    try:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        return int(end - first)
    finally:
        consumer.close()
