"""Files of secrets: one line, kept from others; every fault is one sentence that shows nothing of the secret."""

import logging

import pytest

from riskmon.config.publish import AuthConfig
from riskmon.errors import ConfigError
from riskmon.publish.access import Basic, Bearer, read_credentials
from riskmon.publish.secret_file import read_secret

KEY = "publish.auth.password_file"


def file(folder, content: bytes, mode: int = 0o600):
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", b"s3cret"),
        (b"s3cret\n", b"s3cret"),
        (b"s3cret\r\n", b"s3cret"),
        (b" with blanks \n", b" with blanks "),
        ("schlüssel\n".encode(), "schlüssel".encode()),
    ],
)
def test_the_only_line_is_the_secret(tmp_path, content, secret):
    assert read_secret(file(tmp_path, content), KEY) == secret


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty; write the secret into it"),
        (b"\n", "is empty"),
        (b"hunter2\nhunter3\n", "must hold one line"),
        (b"hunter2\n\n", "must hold one line"),
        (b"hunter2\x00", "no control characters"),
        (b"hunter2" * 1000, "at most 4096 characters"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, complaint):
    path = file(tmp_path, content)
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_secret(path, KEY)
    assert str(caught.value).startswith(f"{KEY} {path} ")
    assert "hunter" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_secret(tmp_path / "missing", KEY)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_secret(tmp_path, KEY)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660])
def test_a_private_file_is_used_without_a_word(tmp_path, mode, caplog):
    assert read_secret(file(tmp_path, b"s3cret\n", mode), KEY) == b"s3cret"
    assert caplog.records == []


@pytest.mark.parametrize("mode", [0o444, 0o644, 0o604])
def test_a_file_that_all_may_read_is_used_with_a_warning(tmp_path, mode, caplog):
    assert read_secret(file(tmp_path, b"s3cret\n", mode), KEY) == b"s3cret"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "can be read by every user of this machine; chmod 600" in record.getMessage()
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o777])
def test_a_file_that_all_may_change_is_refused(tmp_path, mode):
    with pytest.raises(
        ConfigError, match="can be changed by every user of this machine; run chmod 600 on it"
    ):
        read_secret(file(tmp_path, b"s3cret\n", mode), KEY)


def test_credentials_come_from_the_files(tmp_path):
    path = file(tmp_path, b"s3cret\n")
    assert read_credentials(AuthConfig()) is None
    basic = read_credentials(AuthConfig(kind="basic", username="öps", password_file=path))
    assert basic == Basic("öps".encode(), b"s3cret")
    assert read_credentials(AuthConfig(kind="bearer", token_file=path)) == Bearer(b"s3cret")


@pytest.mark.parametrize("content", [b"two words", "tökén".encode(), b"=", b"a=b"])
def test_a_token_that_no_header_can_carry_is_refused(tmp_path, content):
    path = file(tmp_path, content)
    with pytest.raises(ConfigError, match="no bearer token can carry; allowed are letters, digits") as caught:
        read_credentials(AuthConfig(kind="bearer", token_file=path))
    assert content.decode() not in str(caught.value).replace("= at the end", "")
