"""TLS and SASL against a real broker behind a door that asks for them; and what a user reads when they are refused."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr
from support.calibration import settings_of
from support.kafka import Cluster
from support.kafka_door import Door, open_door
from support.worlds import World

from riskmon.config import KafkaConfig, KafkaSecurity, TrafficConfig
from riskmon.doctor.finding import Finding, Level, guarded
from riskmon.doctor.services import check_traffic
from riskmon.errors import ConfigError, TrafficRefused
from riskmon.traffic import open_source
from riskmon.traffic.source import Source

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
ENOUGH_S = 20.0
PASSWORD = "a p4ssword, with = and ,"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Papers:
    """Certificates of one authority, and its file."""

    authority: trustme.CA
    ca_file: Path

    def context(self, *names: str, expires: datetime | None = None) -> ssl.SSLContext:
        """What a broker of these names shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names, not_after=expires).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    authority = trustme.CA()
    ca_file = tmp_path_factory.mktemp("papers") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return Papers(authority, ca_file)


@pytest.fixture
def door(kafka_broker: Cluster) -> Iterator[Callable[..., Door]]:
    """Opens doors in front of the broker."""
    port = int(kafka_broker.bootstrap.rsplit(":", 1)[1])
    with ExitStack() as stack:
        yield lambda **asks: stack.enter_context(open_door(Door(port, **asks)))


@dataclass
class Reader:
    """Opens sources as one client library does it."""

    options: dict[str, Any]
    opened: list[Source]

    def __call__(self, door: Door, topic: str, security: KafkaSecurity) -> Source:
        servers = (door.address,)
        kafka = KafkaConfig(
            bootstrap_servers=servers, topic=topic, start="earliest", security=security, **self.options
        )
        self.opened.append(open_source(TrafficConfig(kafka=kafka)))
        return self.opened[-1]


@pytest.fixture(params=["kafka-python", "confluent"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    made = Reader({"client": request.param}, [])
    yield made
    for source in made.opened:
        source.close()


def login(mechanism: str, *, tls: Papers | None = None, password: str = PASSWORD) -> KafkaSecurity:
    return KafkaSecurity(
        protocol="SASL_PLAINTEXT" if tls is None else "SASL_SSL",
        mechanism=mechanism,  # type: ignore[arg-type]
        username="reader",
        password=SecretStr(password),
        ca_file=None if tls is None else tls.ca_file,
    )


def read(source: Source, count: int) -> list[bytes | None]:
    """At least `count` values."""
    values: list[bytes | None] = []
    deadline = time.monotonic() + ENOUGH_S
    while len(values) < count:
        assert time.monotonic() < deadline, f"only {len(values)} of {count} messages came"
        for batch in source.poll(1000, 0.2):
            values += batch.values
    return values


@pytest.fixture
def topic(kafka_broker: Cluster) -> str:
    name = kafka_broker.create_topic()
    kafka_broker.produce(name, [b"one", b"two"])
    return name


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain text", "TLS"])
def test_a_login_lets_in(
    door: Callable[..., Door], reader: Reader, topic: str, papers: Papers, mechanism: str, encrypted: bool
) -> None:
    opened = door(users={"reader": PASSWORD}, tls=papers.context("127.0.0.1") if encrypted else None)
    source = reader(opened, topic, login(mechanism, tls=papers if encrypted else None))
    source.start({})
    assert read(source, 2) == [b"one", b"two"]
    assert source.status(NOW).lag_messages == 0
    assert set(opened.logins) == {mechanism}


def test_tls_without_a_login(door: Callable[..., Door], reader: Reader, topic: str, papers: Papers) -> None:
    opened = door(tls=papers.context("127.0.0.1"))
    source = reader(opened, topic, KafkaSecurity(protocol="SSL", ca_file=papers.ca_file))
    source.start({})
    assert read(source, 2) == [b"one", b"two"]


def test_a_certificate_of_the_client_lets_in_where_the_broker_wants_one(
    door: Callable[..., Door], reader: Reader, topic: str, papers: Papers, tmp_path: Path
) -> None:
    context = papers.context("127.0.0.1")
    papers.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    opened = door(tls=context)
    ours = papers.authority.issue_cert("reader.example")
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    ours.cert_chain_pems[0].write_to_path(str(cert_file))
    ours.private_key_pem.write_to_path(str(key_file))
    security = KafkaSecurity(protocol="SSL", ca_file=papers.ca_file, cert_file=cert_file, key_file=key_file)
    source = reader(opened, topic, security)
    source.start({})
    assert read(source, 2) == [b"one", b"two"]

    nobody = reader(opened, topic, KafkaSecurity(protocol="SSL", ca_file=papers.ca_file))
    with pytest.raises(
        TrafficRefused, match=r"certificate of the client, which is not configured; set .*cert_file"
    ):
        nobody.start({})


@dataclass(frozen=True)
class Case:
    """A door, what is configured, and what the user reads of it after `SERVER`."""

    says: str
    asks: Callable[[Papers], dict[str, Any]]
    security: Callable[[Papers], KafkaSecurity]


def plain(_papers: Papers) -> KafkaSecurity:
    return KafkaSecurity()


def tls(papers: Papers) -> KafkaSecurity:
    return KafkaSecurity(protocol="SSL", ca_file=papers.ca_file)


USERS = {"users": {"reader": PASSWORD}}
REFUSALS = {
    **{
        f"wrong password, {mechanism}": Case(
            f"SERVER does not let the user 'reader' in by {mechanism} (Authentication failed: Invalid username or "
            "password); check traffic.kafka.security.username and password, and that the broker has this user for this "
            "mechanism",
            lambda _: USERS,
            lambda _, mechanism=mechanism: login(mechanism, password="WRONG-SECRET"),  # type: ignore[misc]
        )
        for mechanism in MECHANISMS
    },
    "wrong mechanism": Case(
        "SERVER does not take the mechanism SCRAM-SHA-512; it offers PLAIN, SCRAM-SHA-256; mend "
        "traffic.kafka.security.mechanism",
        lambda _: USERS | {"mechanisms": ("SCRAM-SHA-256", "PLAIN")},
        lambda _: login("SCRAM-SHA-512"),
    ),
    "no login": Case(
        "SERVER ends the connection of a client that does not log in, and traffic.kafka.security.protocol is "
        "PLAINTEXT; set it to SASL_PLAINTEXT, with mechanism, username and password",
        lambda _: USERS,
        plain,
    ),
    "unknown authority": Case(
        "the authority behind the certificate of SERVER is not the one in CA_FILE; set "
        "traffic.kafka.security.ca_file to its certificate",
        lambda _: {"tls": Papers(trustme.CA(), Path()).context("127.0.0.1")},
        tls,
    ),
    "an authority that this machine does not know": Case(
        "the authority behind the certificate of SERVER is not known to this machine; set "
        "traffic.kafka.security.ca_file to its certificate",
        lambda papers: {"tls": papers.context("127.0.0.1")},
        lambda _: KafkaSecurity(protocol="SSL"),
    ),
    "expired certificate": Case(
        "the certificate of SERVER has expired; tell those who run the broker",
        lambda papers: {"tls": papers.context("127.0.0.1", expires=datetime.now(UTC) - timedelta(hours=1))},
        tls,
    ),
    "another name": Case(
        "the certificate of SERVER is for another name; write the servers in traffic.kafka.bootstrap_servers as the "
        "certificate names them",
        lambda papers: {"tls": papers.context("kafka.example")},
        tls,
    ),
    "plain text to a TLS port": Case(
        "SERVER speaks TLS, and traffic.kafka.security.protocol is PLAINTEXT; set it to SSL",
        lambda papers: {"tls": papers.context("127.0.0.1")},
        plain,
    ),
    "a login in plain text to a TLS port": Case(
        "SERVER speaks TLS, and traffic.kafka.security.protocol is SASL_PLAINTEXT; set it to SASL_SSL",
        lambda papers: USERS | {"tls": papers.context("127.0.0.1")},
        lambda _: login("PLAIN"),
    ),
    "TLS to a plain-text port": Case(
        "SERVER does not answer in TLS, and traffic.kafka.security.protocol is SSL; give the port of a TLS listener, "
        "or set it to PLAINTEXT if the broker has none",
        lambda _: {},
        tls,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_one_sentence(
    name: str,
    door: Callable[..., Door],
    reader: Reader,
    topic: str,
    papers: Papers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = REFUSALS[name]
    opened = door(**case.asks(papers))
    source = reader(opened, topic, case.security(papers))
    threads = threading.active_count()
    with caplog.at_level(logging.WARNING, "riskmon"), pytest.raises(TrafficRefused) as caught:
        source.start({})
    says = case.says.replace("SERVER", opened.address).replace("CA_FILE", str(papers.ca_file))
    assert str(caught.value) == f"cannot read topic {topic!r} from Kafka: {says}"
    assert source.status(NOW).detail == str(caught.value)
    assert threading.active_count() <= threads
    assert_no_password(caplog.text + repr(caught.value.__cause__) + repr(caught.value.__context__))


def assert_no_password(text: str) -> None:
    assert PASSWORD not in text
    assert "WRONG-SECRET" not in text


def test_doctor_shows_the_refusal(
    door: Callable[..., Door], topic: str, world: World, tmp_path: Path
) -> None:
    opened = door(**USERS)
    kafka = KafkaConfig(
        bootstrap_servers=(opened.address,), topic=topic, security=login("PLAIN", password="WRONG-SECRET")
    )
    config = settings_of(world, tmp_path).model_copy(update={"traffic": TrafficConfig(kafka=kafka)})
    [found] = [line for line in guarded("traffic", check_traffic(config, NOW)) if isinstance(line, Finding)]
    assert (found.level, found.subject) == (Level.FAILED, "traffic")
    assert "does not let the user 'reader' in by PLAIN" in found.text
    assert_no_password(found.text)


def test_a_door_that_opens_later_is_read_through(kafka_broker: Cluster, reader: Reader, topic: str) -> None:
    users = {"reader": "old"}
    port = int(kafka_broker.bootstrap.rsplit(":", 1)[1])
    with open_door(Door(port, users=users)) as opened:
        source = reader(opened, topic, login("SCRAM-SHA-256"))
        with pytest.raises(TrafficRefused):
            source.start({})
        users["reader"] = PASSWORD
        assert read(source, 2) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("ca_file", r"traffic\.kafka\.security\.ca_file: .*nonsense\.pem holds no certificate in PEM"),
        (
            "cert_file",
            r"cert_file .*nonsense\.pem and key_file \(none given\) are no certificate and its key in PEM",
        ),
    ],
)
def test_a_file_that_is_no_certificate_is_the_users_to_fix(tmp_path: Path, key: str, says: str) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    security = KafkaSecurity(protocol="SSL", **{key: nonsense})  # type: ignore[arg-type]
    kafka = KafkaConfig(bootstrap_servers=("127.0.0.1:9092",), topic="prompts", security=security)
    with pytest.raises(ConfigError, match=says):
        open_source(TrafficConfig(kafka=kafka))
