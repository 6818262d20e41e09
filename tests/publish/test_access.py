"""Who may read, over real HTTP: what opens the door, what the challenge says, what the log keeps to itself."""

import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from pydantic import ValidationError
from support.snapshots import FACTS, FULL

from riskmon.config.publish import AuthConfig, PublishConfig, TlsConfig
from riskmon.publish import Server, build_app
from riskmon.publish.access import Access, Basic, Bearer, risks

PASSWORD = "a: long pässword"
TOKEN = "6f1d-abc.DEF_~+/=="
GUARDED = (
    "/",
    "/metrics",
    "/api/v1/forecast",
    "/api/v1/strata",
    "/api/v1/estimates",
    "/api/v1/health",
    "/api/v1/openapi.json",
    "/reports/report-20260309T060000Z.md",
    "/nothing",
)


def secret(folder, text: str):
    file = folder / "secret"
    file.write_text(text + "\n", encoding="utf-8")
    file.chmod(0o600)
    return file


@pytest.fixture
def folder(tmp_path):
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "report-20260309T060000Z.md").write_text("# week")
    return tmp_path


@contextmanager
def serving(folder, reasons=(), **auth: object) -> Iterator[httpx.Client]:
    config = PublishConfig(auth=AuthConfig(**auth), reports=folder / "reports")  # type: ignore[arg-type]
    app = build_app(lambda: FULL, lambda: FACTS, lambda: {"intake": True}, lambda: list(reasons), config)
    with Server(app, "127.0.0.1:0", auth=config.auth) as server, httpx.Client(base_url=server.url) as client:
        yield client


def basic(folder, **more: object):
    return serving(
        folder, kind="basic", username="ops", password_file=secret(folder, PASSWORD), **more
    )  # fmt: skip


def bearer(folder, **more: object):
    return serving(folder, kind="bearer", token_file=secret(folder, TOKEN), **more)


def header(credentials: bytes, scheme: str = "Basic") -> dict[str, str]:
    return {"Authorization": f"{scheme} {base64.b64encode(credentials).decode()}"}


RIGHT = f"ops:{PASSWORD}".encode()


# ---- what opens the door


def test_by_default_all_may_read(folder):
    with serving(folder) as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/v1/forecast").status_code == 200


def test_basic_guards_everything_but_health(folder):
    with basic(folder) as client:
        for path in GUARDED:
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == 'Basic realm="riskmon", charset="UTF-8"'
            assert "content-security-policy" in answer.headers
            opened = client.get(path, headers=header(RIGHT))
            assert opened.status_code == (404 if path == "/nothing" else 200)
        assert client.get("/healthz").status_code == 200


def test_bearer_guards_everything_but_health(folder):
    with bearer(folder) as client:
        for path in GUARDED:
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == 'Bearer realm="riskmon"'
            opened = client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
            assert opened.status_code == (404 if path == "/nothing" else 200)
        assert client.get("/healthz").status_code == 200


def test_a_wrong_token_is_said_to_be_wrong(folder):
    with bearer(folder) as client:
        answer = client.get("/api/v1/forecast", headers={"Authorization": f"Bearer {TOKEN}x"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="riskmon", error="invalid_token"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "These credentials are not valid.",
    }


def test_httpx_and_its_like_need_only_name_and_password(folder):
    with basic(folder) as client:
        assert client.get("/", auth=("ops", PASSWORD)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        b"Basic " + base64.b64encode(b"ops:wrong"),
        b"Basic " + base64.b64encode(b"root:" + PASSWORD.encode()),
        b"Basic " + base64.b64encode(b"ops"),
        b"Basic " + base64.b64encode(b"ops:"),
        b"Basic " + base64.b64encode(b"ops:" + PASSWORD.encode("latin-1")),
        b"Basic " + base64.b64encode(RIGHT + b"\n"),
        b"Basic " + base64.b64encode(RIGHT)[:-2],
        b"Basic " + base64.b64encode(RIGHT) + b"!",
        b"Basic",
        b"Basic \xff\xfe",
        b"",
        b"Bearer " + base64.b64encode(RIGHT),
        base64.b64encode(RIGHT),
    ],
)
def test_nothing_else_opens_basic(authorization):
    door = Basic(b"ops", PASSWORD.encode())
    assert door.admit("Basic " + base64.b64encode(RIGHT).decode())
    assert door.admit("bAsIc  " + base64.b64encode(RIGHT).decode() + " ")
    assert not door.admit(authorization.decode("latin-1"))


@pytest.mark.parametrize(
    "authorization", [f"Bearer {TOKEN}=", "Bearer ", "", TOKEN, f"Basic {TOKEN}", "Bearer Ā"]
)
def test_nothing_else_opens_bearer(authorization):
    door = Bearer(TOKEN.encode())
    assert door.admit(f"bearer {TOKEN}")
    assert not door.admit(authorization)


def test_two_headers_open_nothing(folder):
    with bearer(folder) as client:
        twice = [("Authorization", f"Bearer {TOKEN}")] * 2
        assert client.get("/", headers=twice).status_code == 401


def test_paths_that_only_look_open_are_guarded(folder):
    with basic(folder) as client:
        for path in (
            "/healthz/",
            "//healthz",
            "/healthz/../metrics",
            "/Healthz",
            "/metrics?x=/healthz",
            "/%2fhealthz",
        ):
            # httpx normalises some of these; the raw request line does not.
            request = client.build_request("GET", "/")
            request.url = request.url.copy_with(raw_path=path.encode())
            assert client.send(request).status_code == 401, path


def test_every_method_is_guarded(folder):
    with basic(folder) as client:
        for method in ("HEAD", "POST", "OPTIONS"):
            assert client.request(method, "/metrics").status_code == 401


# ---- what is open


def test_metrics_may_be_left_open(folder):
    with basic(folder, metrics=False) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/").status_code == 401


def test_readyz_gives_its_reasons_only_to_those_who_are_known(folder):
    with bearer(folder, reasons=["the broker kafka.internal:9092 does not answer"]) as client:
        open_ = client.get("/readyz")
        assert (open_.status_code, open_.json()) == (503, {"status": "not ready"})
        known = client.get("/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
        assert known.status_code == 503
        assert known.json()["reasons"] == ["the broker kafka.internal:9092 does not answer"]
        assert client.get("/readyz", headers={"Authorization": "Bearer x"}).status_code == 401


# ---- what the log says


def test_a_wrong_password_is_logged_without_what_was_sent(folder, caplog):
    caplog.set_level(logging.DEBUG)
    with basic(folder) as client:
        client.get("/", auth=("hunter2-as-name", "hunter2-as-password"))
    (record,) = [record for record in caplog.records if record.name == "riskmon.publish.access"]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "refused wrong credentials 1 time(s) since the last such line; the latest came from '127.0.0.1'"
    )
    assert "hunter2" not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_caller_that_shows_nothing_is_not_logged(folder, caplog):
    with basic(folder) as client:
        assert client.get("/").status_code == 401
    assert "refused" not in caplog.text


def test_a_flood_of_wrong_passwords_is_one_line_a_minute(caplog):
    now = 1000.0

    async def never(scope, receive, send):
        raise AssertionError("let in")

    async def swallow(message):
        return None

    app = Access(never, Bearer(b"right"), clock=lambda: now)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"authorization", b"Bearer wrong")],
        "client": ("10.1.2.3\nforged line", 5),
    }

    def knock(times: int) -> None:
        for _ in range(times):
            coroutine = app(scope, swallow, swallow)  # type: ignore[arg-type]
            with pytest.raises(StopIteration):
                coroutine.send(None)

    knock(50)
    now += 59
    knock(7)
    assert [record.args[0] for record in caplog.records] == [1]
    now += 2
    knock(3)
    assert [record.args[0] for record in caplog.records] == [1, 57]
    assert r"10.1.2.3\nforged line" in caplog.text


def test_secrets_are_in_no_repr():
    assert "hidden" not in repr(Basic(b"ops", b"hidden")) + repr(Bearer(b"hidden"))


# ---- configuration


@pytest.mark.parametrize(
    ("auth", "complaint"),
    [
        ({"kind": "basic"}, "kind basic needs password_file and username"),
        ({"kind": "basic", "username": "ops"}, "kind basic needs password_file"),
        ({"kind": "bearer"}, "kind bearer needs token_file"),
        ({"kind": "bearer", "token_file": "t", "username": "ops"}, "kind bearer has no use for username"),
        ({"token_file": "t"}, "kind none has no use for token_file"),
        ({"kind": "basic", "username": "a:b", "password_file": "p"}, "username must hold no colon"),
        ({"kind": "digest"}, "'none', 'basic' or 'bearer'"),
    ],
)
def test_a_kind_and_its_keys_belong_together(auth, complaint):
    with pytest.raises(ValidationError, match=complaint):
        AuthConfig(**auth)


def test_relative_paths_are_taken_from_the_files_folder(tmp_path):
    config = PublishConfig(
        reports="reports",
        auth=AuthConfig(kind="bearer", token_file="token"),
        tls=TlsConfig(certificate="c.pem", key="/etc/k.pem", client_ca="ca.pem"),
    ).anchored(tmp_path)
    assert config.reports == tmp_path / "reports"
    assert config.auth.token_file == tmp_path / "token"
    assert config.auth.password_file is None
    assert config.tls.certificate == tmp_path / "c.pem"
    assert str(config.tls.key) == "/etc/k.pem"
    assert config.tls.client_ca == tmp_path / "ca.pem"
    assert PublishConfig().anchored(tmp_path) == PublishConfig()


# ---- warnings at start

OPEN = AuthConfig()
GUARD = AuthConfig(kind="bearer", token_file="t")
PLAIN = TlsConfig()
TLS = TlsConfig(certificate="c", key="k")
MUTUAL = TlsConfig(certificate="c", key="k", client_ca="ca")


@pytest.mark.parametrize(
    ("auth", "tls", "host", "words"),
    [
        (OPEN, PLAIN, "127.0.0.1", []),
        (OPEN, PLAIN, "::1", []),
        (GUARD, PLAIN, "127.0.0.1", []),
        (OPEN, PLAIN, "0.0.0.0", ["whoever can connect reads the forecasts"]),
        (OPEN, PLAIN, "::", ["whoever can connect reads the forecasts"]),
        (OPEN, TLS, "192.0.2.1", ["whoever can connect reads the forecasts"]),
        (OPEN, MUTUAL, "192.0.2.1", []),
        (GUARD, PLAIN, "0.0.0.0", ["sends its secret readably"]),
        (GUARD, TLS, "0.0.0.0", []),
    ],
)
def test_what_a_listener_gives_away(auth, tls, host, words):
    found = list(risks(auth, tls, host))
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


@pytest.mark.parametrize(("listen", "warned"), [("0.0.0.0:0", True), ("127.0.0.1:0", False)])
def test_a_server_warns_at_start(listen, warned, caplog):
    with Server(build_app(lambda: FULL, lambda: FACTS, dict, list), listen):
        pass
    assert ("set publish.auth" in caplog.text) is warned
