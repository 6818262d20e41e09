"""Text is sealed in the database, and opens with its key alone; every fault of a key says what to do."""

from __future__ import annotations

import json
import logging
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr, ValidationError
from sqlalchemy import create_engine, inspect, text
from support.daemon import run, write_config
from support.store_keys import store_at
from support.store_records import HOUR, NOON, batch, hit, observation, sampled, success

from riskmon.config import StoreConfig
from riskmon.config_file import parse_config
from riskmon.errors import ConfigError, StoreLocked
from riskmon.records import Message
from riskmon.store import engine, migrate, open_store, rotate
from riskmon.store.database import Database
from riskmon.store.key_file import make_key_file, read_keys
from riskmon.store.keyring import Keyring, encode_keys, key_id, new_key, parse_keys

MARKS = ("marked-text", "marked-system", "marked-turn", "marked-response")
TOKENS = (70_001, 70_002, 70_003)


def fill(where: StoreConfig) -> None:
    """A prompt of text with a response, one of messages, and a hit."""
    plain = sampled(0, 0.1, text=f"{MARKS[0]} \ud800 é", response=MARKS[3])
    chat = sampled(1, 0.2)
    messages = (Message("system", MARKS[1]), Message("user", MARKS[2]))
    chat = replace(chat, prompt=replace(chat.prompt, content=messages))
    with open_store(where) as store:
        store.write_intake(batch([plain, chat]), keep=9, now=NOON)
        result = replace(success(chat.prompt), hits=(hit(chat.prompt, *TOKENS),))
        store.write_result(store.begin_cycle(NOON), result, NOON)
        assert [found.prompt for found in store.sampled_prompts(NOON)] == [plain.prompt, chat.prompt]
        assert [found.tokens for found in store.hits(NOON, 9)] == [TOKENS]


def everything(url: str) -> bytes:
    """Every value of every table, as the database holds it."""
    database = create_engine(url)
    parts: list[bytes] = []
    with database.connect() as connection:
        for name in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{name}"')):
                parts += [
                    value if isinstance(value, bytes) else json.dumps(str(value)).encode() for value in row
                ]
    database.dispose()
    return b"\n".join(parts)


def sqlite(folder: Path) -> StoreConfig:
    return StoreConfig(url=f"sqlite:///{folder}/risk.db")


def keys_in(path: Path) -> list[bytes]:
    keys = read_keys(path)
    assert keys is not None
    return keys


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_no_table_holds_text(store_url: str, tmp_path: Path) -> None:
    fill(store_at(store_url))
    content = everything(store_url) + files(tmp_path)
    assert b"prompts-0-0" in content
    hidden = [*(mark.encode() for mark in MARKS), b"70001", np.asarray(TOKENS, "<i4").tobytes()]
    assert [mark for mark in hidden if mark in content] == []


def test_a_response_is_gone_once_it_is_judged(store_url: str) -> None:
    found = sampled(0, 0.1, response="yes")
    with open_store(store_at(store_url)) as store:
        store.write_intake(batch([found]), keep=9, now=NOON)
        assert [one.prompt.response for one in store.pending_prompts(NOON)] == ["yes"]
        store.write_result(store.begin_cycle(NOON), success(found.prompt), NOON)
        assert [one.prompt.response for one in store.unjudged_responses(NOON)] == ["yes"]
        store.write_observation(observation(found.prompt, misuse=False), NOON)
        assert [one.prompt.response for one in store.sampled_prompts(NOON)] == [None]


# ---- the cipher


def test_a_value_opens_in_its_own_column_and_unchanged_only() -> None:
    keyring = Keyring([new_key()], "here")
    sealed = keyring.seal(b"hello", "samples.body")
    assert keyring.open(sealed, "samples.body") == b"hello"
    assert keyring.seal(b"hello", "samples.body") != sealed
    with pytest.raises(StoreLocked, match=r"value of hits\.tokens was changed"):
        keyring.open(sealed, "hits.tokens")
    with pytest.raises(StoreLocked, match="was changed"):
        keyring.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "samples.body")
    with pytest.raises(StoreLocked, match="is sealed with key"):
        keyring.open(b"", "samples.body")


def test_the_first_key_seals_and_all_open() -> None:
    old, new = new_key(), new_key()
    before, after = Keyring([old], "here"), Keyring([new, old], "here")
    sealed = before.seal(b"hello", "c")
    assert after.open(sealed, "c") == b"hello"
    with pytest.raises(StoreLocked, match=f"sealed with key {key_id(new)}, which is not among"):
        before.open(after.seal(b"hello", "c"), "c")


def test_no_message_and_no_repr_shows_a_key() -> None:
    key = new_key()
    shown = encode_keys([key]).strip()
    keyring = Keyring([key], "here")
    with pytest.raises(StoreLocked) as wrong:
        keyring.open(Keyring([new_key()], "there").seal(b"hello", "c"), "c")
    with pytest.raises(StoreLocked) as twice:
        parse_keys(f"{shown},{shown}", "here")
    with pytest.raises(StoreLocked) as short:
        parse_keys(shown[:-8], "here")
    settings = repr(StoreConfig(key=SecretStr(shown)))
    for said in (repr(keyring), str(wrong.value), str(twice.value), str(short.value), settings):
        assert shown[:8] not in said


# ---- where keys come from


def test_a_key_file_is_made_at_first_and_used_again(tmp_path: Path) -> None:
    fill(sqlite(tmp_path))
    path = tmp_path / "risk.db.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    with open_store(sqlite(tmp_path)) as store:
        assert len(store.sampled_prompts(NOON)) == 2
        assert store.sealed_by.endswith(f"of the key file {path}")
    assert path.read_bytes() == content
    assert {name.name for name in tmp_path.iterdir()} == {"risk.db", "risk.db.key"}


def test_a_key_file_that_appears_meanwhile_is_taken(tmp_path: Path) -> None:
    first = make_key_file(tmp_path / "key", new_key())
    assert make_key_file(tmp_path / "key", new_key()) == first
    assert {name.name for name in tmp_path.iterdir()} == {"key"}


def test_a_named_key_file_and_given_keys(store_url: str, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "store"
    fill(StoreConfig(url=store_url, key_file=path))
    [key] = keys_in(path)
    path.unlink()
    # Comma between keys, the letters of URL-safe base64, and another key first.
    given = encode_keys([new_key(), key]).replace("\n", ",").replace("+", "-").replace("/", "_")
    with open_store(StoreConfig(url=store_url, key=SecretStr(given))) as store:
        assert len(store.sampled_prompts(NOON)) == 2
    with pytest.raises(ValidationError, match="not both"):
        StoreConfig(key=SecretStr(given), key_file=path)


def test_a_server_needs_to_be_told(postgres_url: str) -> None:
    with pytest.raises(ConfigError, match=r"needs store\.key_file.*RISKMON_STORE__KEY"):
        open_store(postgres_url)


def test_a_missing_key_file_is_a_fault_of_the_user_and_no_new_one_is_made(tmp_path: Path) -> None:
    fill(sqlite(tmp_path))
    (tmp_path / "risk.db.key").unlink()
    with pytest.raises(
        StoreLocked, match=r"with key [0-9a-f]{16}, and there is no key file .*put the file back"
    ):
        open_store(sqlite(tmp_path))
    assert not (tmp_path / "risk.db.key").exists()


def test_another_key_is_refused_by_its_id(store_url: str) -> None:
    right, wrong = new_key(), new_key()
    fill(StoreConfig(url=store_url, key=SecretStr(encode_keys([right]))))
    with pytest.raises(
        StoreLocked, match=f"sealed with key {key_id(right)}, and store.key has {key_id(wrong)}"
    ):
        open_store(StoreConfig(url=store_url, key=SecretStr(encode_keys([wrong]))))


@pytest.mark.parametrize(("mode", "verb"), [(0o640, "read"), (0o604, "read"), (0o620, "changed")])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int, verb: str) -> None:
    fill(sqlite(tmp_path))
    (tmp_path / "risk.db.key").chmod(mode)
    with pytest.raises(
        StoreLocked, match=rf"can be {verb} by other users \(mode {mode:04o}\); run: chmod 600"
    ):
        open_store(sqlite(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_mounted_key_file_of_another_user_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    make_key_file(path, new_key())
    os.chown(path, 65534, 65534)
    path.chmod(0o444)
    with caplog.at_level(logging.WARNING):
        assert read_keys(path) is not None
    assert f"{path} can be read by other users" in caplog.text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no key"),
        ("hunter2\n", "entry 1 .* is not a key"),
        ("AAAA\n" * 2, "entry 1 .*'openssl rand"),
    ],
)
def test_a_malformed_key_file_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "risk.db.key").touch(0o600)
    (tmp_path / "risk.db.key").write_text(content)
    with pytest.raises(StoreLocked, match=says) as caught:
        open_store(sqlite(tmp_path))
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_takes_no_key_file_is_named(tmp_path: Path) -> None:
    for folder in ("absent/absent", "file"):
        (tmp_path / "file").touch()
        settings = StoreConfig(url=f"sqlite:///{tmp_path}/risk.db", key_file=tmp_path / folder / "key")
        with pytest.raises(StoreLocked, match=rf"key file .*{folder}/key"):
            open_store(settings)


def test_a_folder_of_keys_and_its_file_are_private_from_the_start(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_store(
            StoreConfig(url=f"sqlite:///{tmp_path}/risk.db", key_file=tmp_path / "keys" / "key")
        ).close()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"risk.db": 0o600, "keys": 0o700, "key": 0o600}


def test_the_configuration_names_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"model": {"target": "m"}, "judge": {"kind": "regex", "pattern": "bad"}}
    config = parse_config(data | {"store": {"key_file": "keys/store"}}, base=tmp_path)
    assert config.store.key_file == tmp_path / "keys" / "store"
    monkeypatch.setenv("RISKMON_STORE__KEY", "secret")
    assert parse_config(data, base=tmp_path).store.key == SecretStr("secret")


def test_a_value_that_was_tampered_with_is_not_read(store_url: str) -> None:
    fill(store_at(store_url))
    with open_store(store_at(store_url)) as store:
        database = create_engine(store_url)
        with database.begin() as connection:
            connection.execute(text("UPDATE hits SET tokens = log_probs"))
        database.dispose()
        with pytest.raises(StoreLocked, match=r"value of hits\.tokens was changed"):
            store.hits(NOON, 9)
        assert len(store.sampled_prompts(NOON)) == 2


# ---- text of earlier versions


def test_text_of_an_earlier_version_is_sealed_and_nothing_of_it_left(store_url: str, tmp_path: Path) -> None:
    database = Database(engine.parse_url(store_url))
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
        rows = {"start": NOON.replace(tzinfo=None).isoformat(" "), "log_probs": np.zeros(3, "<f4").tobytes()}
        for statement in (
            'INSERT INTO strata (key, first_seen) VALUES (\'[["route","chat"]]\', :start)',
            "INSERT INTO cells (window_start, stratum_id, requests, keep) VALUES (:start, 1, 900, 900)",
        ):
            connection.execute(text(statement), rows)
        for i in range(600):
            body = {"content": [["user", f"marked-{i} {'x' * 900}"]], "response": f"marked-too-{i}"}
            connection.execute(
                text(
                    'INSERT INTO samples (cell_id, topic, "partition", "offset", priority, prompt_id, body) '
                    "VALUES (1, 'prompts', 0, :i, 0.5, '\"p\"', :body)"
                ),
                {"i": i, "body": json.dumps(body)},
            )
        connection.execute(
            text(
                'INSERT INTO results (topic, "partition", "offset", failure, written_at) '
                "VALUES ('prompts', 0, 0, 'too_long', :start)"
            ),
            rows,
        )
        connection.execute(
            text(
                "INSERT INTO hits (sample_id, harm, tokens, weight, uncovered, voices, voice_count, log_probs, "
                "written_at) VALUES (1, 'misuse', '[70001, 70002, 70003]', 1, :no, 'v', 1, :log_probs, :start)"
            ),
            rows | {"no": False},
        )
    database.close()
    with open_store(store_at(store_url)) as store:
        found = store.sampled_prompts(NOON.replace(year=2020))
        assert len(found) == 600
        texts = {
            one.prompt.content[0].content.split()[0]
            for one in found
            if not isinstance(one.prompt.content, str)
        }
        assert texts == {f"marked-{i}" for i in range(600)}
        # The first was worked on already.
        assert {one.prompt.response for one in found} == {None, *(f"marked-too-{i}" for i in range(1, 600))}
        [kept] = store.hits(NOON.replace(year=2020), 9)
        assert kept.tokens == TOKENS
        assert kept.log_probs.tolist() == [[0, 0, 0]]
        content = everything(store_url) + files(tmp_path)
        assert b"marked" not in content
        assert b"70001" not in content


# ---- rotation


def test_a_new_key_seals_everything_anew(tmp_path: Path) -> None:
    settings, path = sqlite(tmp_path), tmp_path / "risk.db.key"
    fill(settings)
    [old] = keys_in(path)
    done = rotate(settings)
    assert (done.path, done.rows, done.old) == (path, 3, (key_id(old),))
    keys = keys_in(path)
    assert [key_id(key) for key in keys] == [done.key, key_id(old)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # The new key alone opens all of it.
    alone = StoreConfig(url=settings.url, key=SecretStr(encode_keys(keys[:1])))
    with open_store(alone) as store:
        assert [found.prompt.response for found in store.sampled_prompts(NOON)] == [MARKS[3], None]
        assert [found.tokens for found in store.hits(NOON, 9)] == [TOKENS]
    assert rotate(alone).rows == 0
    last = rotate(settings, drop_old=True)
    assert (last.rows, last.old) == (3, ())
    assert [key_id(key) for key in keys_in(path)] == [last.key]


def test_a_process_that_holds_old_keys_says_that_it_must_be_restarted(tmp_path: Path) -> None:
    fill(sqlite(tmp_path))
    with open_store(sqlite(tmp_path)) as store:
        done = rotate(sqlite(tmp_path))
        with pytest.raises(StoreLocked, match=rf"sealed with key {done.key}, .*restart riskmon"):
            store.sampled_prompts(NOON)


def test_the_command_makes_a_key_and_says_which(tmp_path: Path) -> None:
    fill(sqlite(tmp_path))
    config = write_config(tmp_path, tmp_path / "model", store={"url": "sqlite:///risk.db"})
    shown = run("rotate-key", "-c", str(config))
    assert shown.returncode == 0, shown.stderr
    new, old = (key_id(key) for key in keys_in(tmp_path / "risk.db.key"))
    assert shown.stdout.splitlines() == [
        f"key {new} of {tmp_path}/risk.db.key encrypts the store now; 3 rows were encrypted anew",
        f"{tmp_path}/risk.db.key still holds {old}, which only earlier backups need; --drop-old takes them out",
    ]


def test_given_keys_are_sealed_with_the_first(store_url: str) -> None:
    old, new = new_key(), new_key()
    fill(StoreConfig(url=store_url, key=SecretStr(encode_keys([old]))))
    done = rotate(StoreConfig(url=store_url, key=SecretStr(encode_keys([new, old]))))
    assert (done.key, done.path, done.rows, done.old) == (key_id(new), None, 3, (key_id(old),))
    with open_store(StoreConfig(url=store_url, key=SecretStr(encode_keys([new])))) as store:
        assert len(store.sampled_prompts(NOON)) == 2


def test_a_key_may_go_once_retention_has_removed_what_it_sealed(store_url: str) -> None:
    old, new = new_key(), new_key()
    fill(StoreConfig(url=store_url, key=SecretStr(encode_keys([old]))))
    alone = StoreConfig(url=store_url, key=SecretStr(encode_keys([new])))
    with open_store(StoreConfig(url=store_url, key=SecretStr(encode_keys([new, old])))) as store:
        store.write_intake(batch([sampled(9, 0.5, window=NOON + HOUR)]), keep=9, now=NOON)
        store.purge(NOON)
        with pytest.raises(StoreLocked, match=key_id(old)):
            open_store(alone)
        store.purge(NOON + HOUR)
    with open_store(alone) as store:
        assert len(store.sampled_prompts(NOON)) == 1
