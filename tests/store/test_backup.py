"""A copy made while another process writes: whole, private, and as of one moment."""

import multiprocessing
import sqlite3
import stat
import time

import pytest
from support.store_records import NOON, batch, sampled
from support.store_writer import PER_BATCH, write_batches

from riskmon.config import StoreConfig
from riskmon.errors import ConfigError, InputError, StoreUnavailable
from riskmon.store import back_up, open_store


@pytest.fixture
def url(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/risk.db") as store:
        store.write_intake(batch([sampled(0, 0.5)]), keep=5, now=NOON)
    return f"sqlite:///{tmp_path}/risk.db"


def opened(file, *, key_of):
    """A copy with the key of the store it was made of, which a backup leaves where it is."""
    return open_store(StoreConfig(url=f"sqlite:///{file}", key_file=key_of / "risk.db.key"))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_copies_made_while_a_process_writes_hold_whole_batches_only(tmp_path):
    url = f"sqlite:///{tmp_path}/risk.db"
    writer = multiprocessing.get_context("spawn").Process(target=write_batches, args=(url, 0, None))
    writer.start()
    try:
        with open_store(url) as live:
            _until(lambda: live.counters().consumed > 0)
            seen = []
            for number in range(4):
                before = live.counters().consumed
                made = back_up(url, tmp_path / f"copy-{number}.db")
                after = live.counters().consumed
                assert made.size_bytes == (tmp_path / f"copy-{number}.db").stat().st_size
                with opened(tmp_path / f"copy-{number}.db", key_of=tmp_path) as copy:
                    consumed = copy.counters().consumed
                    assert copy.next_offsets("prompts") == {0: consumed}
                    assert sum(window.requests for window in copy.volume(NOON)) == consumed * 9 // PER_BATCH
                assert before <= consumed <= after
                seen.append(consumed)
                _until(lambda last=consumed: live.counters().consumed > last)
        assert len(set(seen)) == 4  # the writer was at work all the while
        assert writer.is_alive()
    finally:
        writer.kill()
        writer.join()


def _until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_copy_is_one_private_file_with_the_schema_as_it_was(url, tmp_path):
    old = tmp_path / "risk.db"
    old.chmod(0o644)
    folder = tmp_path / "backups"
    folder.mkdir()
    made = back_up(url, folder / "copy.db")
    assert [path.name for path in folder.iterdir()] == ["copy.db"]
    assert mode(folder / "copy.db") == 0o600
    with open_store(url) as store, sqlite3.connect(folder / "copy.db") as copy:
        assert copy.execute("SELECT version_num FROM riskmon_schema").fetchone() == (made.schema,)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert store.counters().consumed == 1
    with opened(folder / "copy.db", key_of=tmp_path) as restored:
        assert restored.counters().consumed == 1
        assert [item.prompt for item in restored.sampled_prompts(NOON)] == [sampled(0, 0.5).prompt]


def test_an_old_schema_is_copied_and_not_migrated(tmp_path):
    with sqlite3.connect(tmp_path / "risk.db") as old:
        old.execute("CREATE TABLE riskmon_schema (version_num TEXT)")
        old.execute("INSERT INTO riskmon_schema VALUES ('0001')")
    assert back_up(f"sqlite:///{tmp_path}/risk.db", tmp_path / "copy.db").schema == "0001"


def test_an_existing_file_stays_and_a_broken_off_copy_is_replaced(url, tmp_path):
    taken = tmp_path / "copy.db"
    taken.write_text("mine")
    with pytest.raises(InputError, match=r"copy\.db exists and is not overwritten"):
        back_up(url, taken)
    assert taken.read_text() == "mine"
    (tmp_path / "second.db.part").write_text("half")
    back_up(url, tmp_path / "second.db")
    assert not (tmp_path / "second.db.part").exists()


def test_what_cannot_be_copied_is_said_and_leaves_no_file(url, tmp_path):
    with pytest.raises(InputError, match=r"there is no database .*absent\.db"):
        back_up(f"sqlite:///{tmp_path}/absent.db", tmp_path / "copy.db")
    assert not (tmp_path / "absent.db").exists()
    with pytest.raises(InputError, match=r"cannot write the backup .*: No such file or directory"):
        back_up(url, tmp_path / "missing" / "copy.db")
    with pytest.raises(ConfigError, match="not a database URL"):
        back_up("nonsense", tmp_path / "copy.db")
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    with pytest.raises(StoreUnavailable, match=r"backup of .* failed: file is not a database"):
        back_up(f"sqlite:///{tmp_path}/notes.txt", tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))


def test_a_damaged_database_is_not_taken_for_a_backup(url, tmp_path):
    with open_store(url) as store:
        for number in range(1, 400):
            store.write_intake(batch([sampled(number, number / 400)]), keep=500, now=NOON)
    file = tmp_path / "risk.db"
    size = file.stat().st_size
    with file.open("r+b") as raw:
        raw.seek(size // 2 // 4096 * 4096)
        raw.write(b"\xff" * 4096)
    with pytest.raises(StoreUnavailable, match=r"is damaged|is malformed"):
        back_up(url, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))


def test_postgresql_is_left_to_its_own_tool(tmp_path):
    with pytest.raises(InputError, match=r"pg_dump --format=custom --file=.*copy\.db risk$") as caught:
        back_up("postgresql+psycopg://risk:hunter2@127.0.0.1:1/risk", tmp_path / "copy.db")
    assert "hunter2" not in str(caught.value)
