"""Store: the durable state that every stage's records are written to and read from.

Text is sealed before it reaches the database and opened behind it: `keyring` holds the cipher, `key_file` and
`custody` find the keys, `sealed` makes it a kind of column, and `rotation` replaces a key.

`open_store` brings a SQLite file or a PostgreSQL database to the current schema and hands out a `Store`, whose
methods each run one short transaction and speak only in the nouns of `riskmon.records`; what a report or a back-test
looks back on is under `Store.history`. Below it, one module per concern holds plain functions that take a connection:
intake, pending, results, hits, plans, judged, cycles, weighted, coverage, forecasts, backtests, purge. `back_up` copies
the whole of it.
"""

from riskmon.store.backup import back_up
from riskmon.store.facade import Store
from riskmon.store.files import LINES as FILE_LINES
from riskmon.store.opening import open_store
from riskmon.store.rotation import Rotation, rotate

__all__ = ["FILE_LINES", "Rotation", "Store", "back_up", "open_store", "rotate"]
