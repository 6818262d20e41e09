"""`riskmon doctor`: does everything work that `riskmon run` needs, and what will a cycle cost?

In comes the configuration; out goes one line per check, `ok`, `warning` or `FAILED` with what to do. A failed check
ends only what depends on it: without a model the store is still looked at. Nothing is changed, but for a database of
an older schema, which is brought up to date as by every command.
"""

from riskmon.doctor.checkup import run_doctor

__all__ = ["run_doctor"]
