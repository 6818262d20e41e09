"""The tables, once: what each row means and what disappears with it.

    strata ──< stratum_events                        strata that came or went
    strata ──< cells ──< samples ──< estimates        a cell is one stratum in one counting window
                 │       (position) ├─< hits          harmful answers, as sensitive as the prompts
                 │                  └─< verdicts      on the deployed model's own response
                 └─< judged                           verdicts counted, once their prompts are purged
    cycles ──< results   (position)                   the ledger of prompts worked on, kept by position
           └─< cycle_health
    sensitivity_runs ──< sensitivity_prompts  one per prompt and harm: its id and figures, never text
                     └─< sensitivity_strata
    offsets, counted, ingested_files, counters, traffic_status, leases, store_keys      stand alone
    forecasts, changes, plans, backtests, scorers                                       likewise

Deleting a cell deletes its samples, and with a sample go its text, its estimates, its hits and its verdicts. `results`
refers to a position rather than to a sample: it outlives a prompt that was displaced, so that no work is counted twice.

Text of prompts, responses and harmful answers is sealed (`riskmon.store.sealed`): without the key nobody reads it.

They stand in modules by subject, with the columns that several share in `columns`. The migrations build the same
tables; a test compares the two.
"""

from riskmon.store.tables.columns import metadata
from riskmon.store.tables.findings import estimates, hits, judged, verdicts
from riskmon.store.tables.forecasting import backtests, changes, forecasts
from riskmon.store.tables.sampling import cells, samples, scorers, strata, stratum_events
from riskmon.store.tables.sensitivity import sensitivity_prompts, sensitivity_runs, sensitivity_strata
from riskmon.store.tables.upkeep import (
    counted,
    counters,
    ingested_files,
    leases,
    offsets,
    store_keys,
    traffic_status,
)
from riskmon.store.tables.work import cycle_health, cycles, plans, results

__all__ = [
    "backtests",
    "cells",
    "changes",
    "counted",
    "counters",
    "cycle_health",
    "cycles",
    "estimates",
    "forecasts",
    "hits",
    "ingested_files",
    "judged",
    "leases",
    "metadata",
    "offsets",
    "plans",
    "results",
    "samples",
    "scorers",
    "sensitivity_prompts",
    "sensitivity_runs",
    "sensitivity_strata",
    "store_keys",
    "strata",
    "stratum_events",
    "traffic_status",
    "verdicts",
]
