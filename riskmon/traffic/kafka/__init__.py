"""Messages of one Kafka topic, read as raw bytes from all its partitions.

`reader.py` says what is asked of a client library; `kafka_python.py` (with `client.py`) and `confluent.py` put the
two libraries behind it. `cluster.py` asks the cluster about topics and offsets. `source.py` reads all partitions,
`group.py` (with `member.py`) those that a group gives it, `span.py` what lies between two times, `ranges.py` (with
`range_reader.py`) a few ranges. `dead_letters.py` forwards what was rejected. `refusals.py` finds out why a cluster
turns us away, with `certificates.py` for TLS. The libraries are imported in this package and nowhere else.
"""

from riskmon.traffic.kafka.ranges import KafkaRanges
from riskmon.traffic.kafka.source import KafkaSource

__all__ = ["KafkaRanges", "KafkaSource"]
