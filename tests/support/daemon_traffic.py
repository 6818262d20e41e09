"""JSON requests for a daemon under test, and the configuration that reads them from Kafka."""

import json
from collections import Counter
from datetime import timedelta

ROUTES = ("chat", "code", "search", "stories")


def messages(count, now, seed=0):
    """JSON requests spread over the last three hours and four routes of unequal size."""
    values, sizes = [], Counter()
    for i in range(count):
        route = ROUTES[min((i * 7919 + seed) % 10 // 3, 3)]
        sizes[route] += 1
        values.append(
            json.dumps(
                {
                    "id": f"r{seed}-{i}",
                    "prompt": ["ask red or blue", "good calm red", "red and blue"][i % 3],
                    "timestamp": (now - timedelta(seconds=(i * 37) % 10_800)).timestamp(),
                    "attributes": {"route": route},
                    "response": "bad" if i % 50 == 0 else "calm",
                }
            ).encode()
        )
    return values, sizes


def kafka_traffic(broker, topic, **more):
    return {
        "kafka": {"bootstrap_servers": [broker.bootstrap], "topic": topic, "start": "earliest"},
        "strata": ["attributes.route"],
        "sample_per_window": 4,
        "flush_interval": "100ms",
        **more,
    }
