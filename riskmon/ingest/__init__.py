"""Backfill: counting and sampling what the daemon did not read, from the topic's past or from files.

`topic` reads the part of a Kafka topic from one time to another, `files` reads finished logs, `counting` is what both
share, `report` says what came of it. Everything meets in the store: each batch is one transaction with the offsets that
it counts, and no offset is counted twice, so a backfill may be stopped, repeated, and run beside the daemon.
"""

from riskmon.ingest.files import ingest_files
from riskmon.ingest.report import describe
from riskmon.ingest.times import Span, parse_span
from riskmon.ingest.topic import ingest_topic

__all__ = ["Span", "describe", "ingest_files", "ingest_topic", "parse_span"]
