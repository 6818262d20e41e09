"""Messages of one Kafka topic, read as raw bytes from all its partitions.

`client.py` holds the client library, `cluster.py` asks the cluster about topics and offsets, `source.py` reads.
`refusals.py` finds out why a cluster turns us away, with `certificates.py` for TLS. The library is imported in this
package and nowhere else.
"""

from riskmon.traffic.kafka.source import KafkaSource

__all__ = ["KafkaSource"]
