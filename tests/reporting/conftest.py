"""The configuration and the store that reports are gathered from."""

from support.reporting_fixtures import config, store, week, week_file

__all__ = ["config", "store", "week", "week_file"]
