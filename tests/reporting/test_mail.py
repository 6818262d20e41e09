"""A report by mail, through a real server: in clear, STARTTLS and TLS, with login; and each way it can fail."""

import json

import pytest
from pydantic import ValidationError
from support.reporting_fixtures import settings
from support.reports import FULL_REPORT
from support.smtp import HOST, mail_server
from support.snapshots import NOW

from riskmon.config import SmtpConfig
from riskmon.config_file import parse_config
from riskmon.errors import DeliveryFailed
from riskmon.reporting.mail import send
from riskmon.reporting.rendered import render


@pytest.fixture
def rendered(tmp_path):
    return render(FULL_REPORT, parse_config(settings(), base=tmp_path), ("html", "md", "json"))


@pytest.fixture
def trusting(tmp_path, monkeypatch):
    """This process trusts the authority that `mail_server` writes into the folder."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return tmp_path


def account(port, security, **more):
    fields = {
        "host": HOST,
        "port": port,
        "security": security,
        "sender": "riskmon@example.org",
        "recipients": ("lead@example.org", "manager@example.org"),
        "timeout": "10s",
    }
    return SmtpConfig(**{**fields, **more})


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_it_arrives_with_text_page_and_files(rendered, trusting, security):
    login = None if security == "none" else ("riskmon", "hush")
    credentials = {} if login is None else {"username": login[0], "password": login[1]}
    with mail_server(trusting, security, login) as server:
        send(account(server.port, security, **credentials), rendered, NOW)
    ((sender, recipients, message),) = server.taken
    assert server.encrypted == [security != "none"]
    assert server.logins == ([login] if login else [])
    assert (sender, recipients) == ("riskmon@example.org", ["lead@example.org", "manager@example.org"])
    assert message["Subject"].startswith("riskmon, HuggingFaceTB/SmolLM2-135M-Instruct: misuse: over budget")
    assert message["Auto-Submitted"] == "auto-generated"
    text, page = message.get_body(("plain",)), message.get_body(("html",))
    assert "Over budget by a factor of 2.74" in text.get_content()
    assert "<h2>misuse</h2>" in page.get_content()
    files = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
    assert {name.rpartition(".")[2] for name in files} == {"html", "md", "json"}
    name = "report-20260309T140721Z"
    assert files[f"{name}.html"].replace("\r\n", "\n") == rendered.files["html"]
    assert json.loads(files[f"{name}.json"]) == rendered.document


def test_a_server_with_a_strange_certificate_gets_nothing(rendered, tmp_path):
    for security in ("starttls", "tls"):
        with (
            mail_server(tmp_path, security) as server,
            pytest.raises(DeliveryFailed, match="SSLCertVerificationError"),
        ):
            send(account(server.port, security), rendered, NOW)
        assert server.taken == []


def test_a_server_without_encryption_gets_no_password(rendered, tmp_path):
    with (
        mail_server(tmp_path, "none") as server,
        pytest.raises(DeliveryFailed, match="SMTPNotSupportedError"),
    ):
        send(account(server.port, "starttls", username="u", password="hush"), rendered, NOW)
    assert server.logins == []


def test_a_wrong_password_is_an_error_that_does_not_show_it(rendered, trusting):
    with mail_server(trusting, "starttls", ("u", "right")) as server, pytest.raises(DeliveryFailed) as caught:
        send(account(server.port, "starttls", username="u", password="wr0ng"), rendered, NOW)
    assert "SMTPAuthenticationError, code 535" in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    assert server.taken == []


def test_a_refused_recipient_is_an_error_and_the_others_get_it(rendered, tmp_path):
    with mail_server(tmp_path) as server:
        server.refuses.add("lead@example.org")
        with pytest.raises(DeliveryFailed, match="refused 1 of 2 recipients"):
            send(account(server.port, "none"), rendered, NOW)
    assert [recipients for _, recipients, _ in server.taken] == [["manager@example.org"]]


def test_nobody_at_home_is_an_error(rendered):
    with pytest.raises(
        DeliveryFailed, match=r"localhost:9 did not take the report \(ConnectionRefusedError\)"
    ):
        send(account(9, "none"), rendered, NOW)


@pytest.mark.parametrize(
    "given",
    [
        {"username": "u"},
        {"password": "p"},
        {"security": "none", "username": "u", "password": "p"},
        {"recipients": ()},
        {"recipients": ("a@b\nBcc: c@d",)},
        {"sender": "nobody"},
    ],
)
def test_settings_that_cannot_work_are_refused(given):
    with pytest.raises(ValidationError):
        account(25, given.pop("security", "starttls"), **given)
