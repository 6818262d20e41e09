"""Opening: a private file, the right schema, and refusals that say what to do."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import JSON, Column, MetaData, Table, create_engine, inspect, text
from support.store_keys import store_at
from support.store_records import CHAT, CODE, NOON, batch, estimate, refined, sampled, success

from riskmon.errors import ConfigError, StoreUnavailable
from riskmon.records import Flag
from riskmon.store import Store, counts, engine, migrate, open_store, prompts, results, strata, tables
from riskmon.store.database import Database
from riskmon.store.migrations import VERSION_TABLE
from riskmon.store.tables import metadata


def test_the_migrations_build_exactly_the_tables(store: Store, store_url: str) -> None:
    database = create_engine(store_url)
    with database.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, VERSION_TABLE}
        cascades = {
            (table.name, key["referred_table"]): key["options"].get("ondelete")
            for table in metadata.sorted_tables
            for key in inspect(connection).get_foreign_keys(table.name)
        }
    database.dispose()
    assert cascades == {
        ("cells", "strata"): None,
        ("stratum_events", "strata"): None,
        ("forecasts", "strata"): None,
        ("samples", "cells"): "CASCADE",
        ("estimates", "samples"): "CASCADE",
        ("hits", "samples"): "CASCADE",
        ("verdicts", "samples"): "CASCADE",
        ("judged", "cells"): "CASCADE",
        ("backtests", "strata"): None,
        ("plans", "strata"): None,
        ("cycle_health", "cycles"): "CASCADE",
        ("results", "cycles"): "SET NULL",
        ("sensitivity_prompts", "sensitivity_runs"): "CASCADE",
        ("sensitivity_prompts", "strata"): None,
        ("sensitivity_strata", "sensitivity_runs"): "CASCADE",
        ("sensitivity_strata", "strata"): None,
    }


def test_a_database_of_the_first_schema_is_upgraded_with_all_it_holds(store_url: str) -> None:
    """Its ledger learns what was spent, so that a prompt estimated before the upgrade can be refined after it."""
    database = Database(engine.parse_url(store_url))
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        prompt = sampled(3, 0.5).prompt
        unsealed = {"body": JSON()}
        samples = Table(
            "samples",
            MetaData(),
            *(
                Column(c.name, unsealed.get(c.name, c.type))
                for c in tables.samples.c
                if c.name not in {"response", "size", "stands_for"}
            ),
        )
        missing = {"draws", "tokens", "device_seconds"}
        strata.intern(connection, [CHAT, CODE], NOON)
        connection.execute(tables.cells.insert().values(window_start=NOON, stratum_id=1, requests=90, keep=9))
        for offset, failed in ((3, None), (4, "too_long")):
            row = prompts.to_row(sampled(offset, 0.5), cell_id=1)
            row["body"] = {"content": row["body"], "response": row.pop("response")}
            connection.execute(samples.insert().values(**{c: row[c] for c in row if c in samples.c}))
            ledger = Table(
                "results",
                MetaData(),
                *(Column(c.name, c.type) for c in tables.results.c if c.name not in missing),
            )
            place = {name: row[name] for name in ("topic", "partition", "offset")}
            connection.execute(ledger.insert().values(**place, failure=failed, written_at=NOON))
        values = {name: getattr(estimate(prompt), name) for name in results.ESTIMATE_VALUES}
        connection.execute(tables.estimates.insert().values(sample_id=1, flags=["TRUNCATED"], **values))
    database.close()
    with open_store(store_at(store_url)) as store:
        [found] = store.weighted_estimates(NOON)
        assert found.estimate == replace(estimate(prompt), flags=(Flag.TRUNCATED,))
        assert store.pending_prompts(NOON) == []
        first, cycle = success(prompt), store.begin_cycle(NOON)
        store.refine_result(cycle, first, NOON)
        assert store.counters().estimate_tokens == 0
        store.refine_result(cycle, refined(first, 1_000), NOON)
        assert store.counters().estimate_tokens == 12_000
        store.refine_result(cycle, success(sampled(4, 0.5).prompt), NOON)
        assert len(store.weighted_estimates(NOON)) == 1


def test_what_was_written_is_there_after_opening_again(store_url: str) -> None:
    with open_store(store_at(store_url)) as store:
        store.write_intake(batch([sampled(0, 0.5)]), keep=5, now=NOON)
        before = store.snapshot(NOON)
    with open_store(store_at(store_url)) as store:
        assert store.snapshot(NOON) == before
        assert store.next_offsets("prompts") == {0: 1}


def test_a_newer_schema_is_refused_and_left_alone(store_url: str) -> None:
    open_store(store_at(store_url)).close()
    database = create_engine(store_url)
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match=r"schema '9999', newer than '\d{4}'.*upgrade riskmon"):
        open_store(store_at(store_url))
    with database.connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == [
            "9999"
        ]
    database.dispose()


def test_the_sqlite_file_and_its_companions_are_for_the_owner_only(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/risk.db") as store:
        store.write_intake(batch([sampled(0, 0.5)]), keep=5, now=NOON)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"risk.db": 0o600, "risk.db.key": 0o600, "risk.db-wal": 0o600, "risk.db-shm": 0o600}


def test_the_mode_of_a_file_that_exists_is_its_owners_choice(tmp_path: Path) -> None:
    path = tmp_path / "risk.db"
    path.touch()
    path.chmod(0o660)
    open_store(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_an_unreachable_server_masks_the_password_and_keeps_the_cause() -> None:
    url = "postgresql+psycopg://risk:hunter2@127.0.0.1:1/risk?connect_timeout=2&options=-ckey%3Dhunter3"
    with pytest.raises(
        StoreUnavailable, match=r"risk:\*\*\*@127.0.0.1:1/risk is unavailable: connection"
    ) as caught:
        open_store(store_at(url))
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        open_store(f"sqlite:///{path}")


def test_a_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"cannot create .*absent/risk\.db: No such file or directory"):
        open_store(f"sqlite:///{tmp_path}/absent/risk.db")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "plain file"),
        ("sqlite:///:memory:", "plain file"),
        ("mysql://root:hunter2@host/db", "names 'mysql'"),
        ("risk.db hunter2", "not a database URL"),
    ],
)
def test_a_url_that_cannot_serve_is_a_fault_of_the_configuration(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        open_store(store_at(url))
    assert "hunter2" not in str(caught.value)


def test_the_repr_masks_the_password(postgres_url: str) -> None:
    with open_store(store_at(postgres_url.replace("postgres@", "postgres:hunter2@"))) as store:
        assert "postgres:***@" in repr(store)
        assert "hunter2" not in repr(store)


def test_a_writer_whose_turn_never_comes_gives_up(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WAIT_S", 1)
    other = Database(engine.parse_url(store_url))
    with open_store(store_at(store_url)) as store:
        with other.write(), pytest.raises(StoreUnavailable, match="lock") as caught:
            store.count_job_failure("forecast")
        other.close()
        assert caught.value.__cause__ is not None
        assert store.counters().job_failures == {}
        store.count_job_failure("forecast")
        assert store.counters().job_failures == {"forecast": 1}


def test_a_server_that_dropped_the_connections_is_found_again(postgres_url: str) -> None:
    with open_store(store_at(postgres_url)) as store:
        store.count_job_failure("forecast")
        admin = create_engine(postgres_url)
        with admin.connect() as connection:
            ended = connection.execute(
                text(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'riskmon'"
                )
            ).scalar_one()
        admin.dispose()
        assert ended >= 1
        store.count_job_failure("forecast")
        assert store.counters().job_failures == {"forecast": 2}


def test_a_connection_lost_within_a_write_undoes_it(postgres_url: str) -> None:
    def write_and_lose(database: Database) -> None:
        with database.write() as connection:
            counts.add(connection, {(counts.Count.JOB_FAILED, "forecast"): 1})
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with open_store(store_at(postgres_url)) as store:
        database = Database(engine.parse_url(postgres_url))
        with pytest.raises(StoreUnavailable, match="terminating connection"):
            write_and_lose(database)
        database.close()
        assert store.counters().job_failures == {}
