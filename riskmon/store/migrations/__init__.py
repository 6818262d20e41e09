"""The schema's history: one file per change under `versions/`, run by `riskmon.store.migrate`.

To change a table, edit it in `tables` and add the next version by hand; the test that compares the two on both
databases says what is missing. A version is never edited once released.
"""

# Its own name, so that riskmon can share a database with another program that uses Alembic.
VERSION_TABLE = "riskmon_schema"
