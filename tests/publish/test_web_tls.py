"""TLS with real certificates: it encrypts, it knows its callers, and every wrong file is one sentence at start."""

import ssl
import subprocess

import httpx
import pytest
import trustme
from pydantic import ValidationError
from support.snapshots import FACTS, FULL

from riskmon.config.publish import AuthConfig, PublishConfig, TlsConfig
from riskmon.errors import ConfigError
from riskmon.publish import Server, build_app


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """A folder with the server's certificate, its key, the authority, and the key of somebody else."""
    folder = tmp_path_factory.mktemp("tls")
    own = authority.issue_cert("127.0.0.1", "localhost")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))
    own.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("other.example").private_key_pem.write_to_path(folder / "other-key.pem")
    (folder / "text.pem").write_text("no certificate")
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    subprocess.run(
        [
            *("openssl", "pkey", "-in", folder / "key.pem", "-aes256"),
            *("-passout", "pass:s3cret", "-out", folder / "locked.pem"),
        ],
        check=True,
        capture_output=True,
    )
    for key in folder.glob("*"):
        key.chmod(0o600)
    return folder


def serve(tls: TlsConfig, auth: AuthConfig | None = None) -> Server:
    config = PublishConfig(tls=tls, auth=auth or AuthConfig())
    app = build_app(lambda: FULL, lambda: FACTS, lambda: {"intake": True}, list, config)
    return Server(app, "127.0.0.1:0", tls=config.tls, auth=config.auth)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_the_page_and_the_api_are_encrypted(files, authority):
    with serve(TlsConfig(certificate=files / "cert.pem", key=files / "key.pem")) as server:
        assert server.url == f"https://127.0.0.1:{server.address[1]}"
        with httpx.Client(base_url=server.url, verify=trusting(authority)) as client:
            assert client.get("/").status_code == 200
            assert client.get("/api/v1/forecast").json()["forecasts"]
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.url)  # a caller that does not know the authority
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http"))


def test_with_an_authority_for_callers_only_its_own_connect(files, authority):
    tls = TlsConfig(certificate=files / "cert.pem", key=files / "key.pem", client_ca=files / "ca.pem")
    with serve(tls) as server:
        known = trusting(authority)
        authority.issue_cert("prometheus.example").configure_cert(known)
        assert httpx.get(f"{server.url}/metrics", verify=known).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url}/healthz", verify=trusting(authority))
        strange = trusting(authority)
        trustme.CA().issue_cert("stranger.example").configure_cert(strange)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url}/metrics", verify=strange)


def test_certificate_and_password_together(files, authority, tmp_path):
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    password.chmod(0o600)
    auth = AuthConfig(kind="basic", username="ops", password_file=password)
    with serve(TlsConfig(certificate=files / "cert.pem", key=files / "key.pem"), auth) as server:
        context = trusting(authority)
        assert httpx.get(server.url, verify=context).status_code == 401
        assert httpx.get(server.url, verify=context, auth=("ops", "s3cret")).status_code == 200


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "complaint"),
    [
        (
            "missing.pem",
            "key.pem",
            None,
            "publish.tls.certificate {0}/missing.pem cannot be read: No such file",
        ),
        ("cert.pem", "missing.pem", None, "publish.tls.key {0}/missing.pem cannot be read: No such file"),
        (
            "text.pem",
            "key.pem",
            None,
            "publish.tls.certificate {0}/text.pem holds no certificate; give one as PEM",
        ),
        ("cert.pem", "text.pem", None, "publish.tls.key {0}/text.pem holds no private key; give one as PEM"),
        ("cert.pem", "cert.pem", None, "publish.tls.key {0}/cert.pem holds no private key"),
        (
            "broken.pem",
            "key.pem",
            None,
            "publish.tls.certificate {0}/broken.pem with its key {0}/key.pem cannot be",
        ),
        (
            "cert.pem",
            "other-key.pem",
            None,
            "publish.tls.key {0}/other-key.pem does not belong to publish.tls.cert",
        ),
        (
            "cert.pem",
            "locked.pem",
            None,
            "publish.tls.key {0}/locked.pem is locked with a passphrase; give a key",
        ),
        (
            "cert.pem",
            "key.pem",
            "missing.pem",
            "publish.tls.client_ca {0}/missing.pem cannot be read: No such",
        ),
        ("cert.pem", "key.pem", "text.pem", "publish.tls.client_ca {0}/text.pem holds no certificate"),
        ("cert.pem", "key.pem", "broken.pem", "publish.tls.client_ca {0}/broken.pem cannot be used"),
    ],
)
def test_a_wrong_file_is_one_sentence(files, certificate, key, client_ca, complaint):
    tls = TlsConfig(
        certificate=files / certificate,
        key=files / key,
        client_ca=None if client_ca is None else files / client_ca,
    )
    with pytest.raises(ConfigError) as caught:
        serve(tls)
    assert str(caught.value).startswith(complaint.format(files))
    assert "\n" not in str(caught.value)


def test_a_key_that_all_may_change_is_refused_and_one_that_all_may_read_is_said(files, tmp_path, caplog):
    key = tmp_path / "key.pem"
    key.write_bytes((files / "key.pem").read_bytes())
    key.chmod(0o644)
    serve(TlsConfig(certificate=files / "cert.pem", key=key))
    assert f"publish.tls.key {key} can be read by every user of this machine" in caplog.text
    key.chmod(0o666)
    with pytest.raises(ConfigError, match="can be changed by every user"):
        serve(TlsConfig(certificate=files / "cert.pem", key=key))


@pytest.mark.parametrize(
    ("tls", "complaint"),
    [
        ({"certificate": "c"}, "both certificate and key"),
        ({"key": "k"}, "both certificate and key"),
        ({"client_ca": "ca"}, "client_ca needs certificate and key"),
    ],
)
def test_the_keys_of_the_section_belong_together(tls, complaint):
    with pytest.raises(ValidationError, match=complaint):
        TlsConfig(**tls)
