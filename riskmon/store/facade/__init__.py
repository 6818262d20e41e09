"""The store as the rest of riskmon sees it, in parts by who calls: intake, estimate cycle, what is made of both."""

from riskmon.store.facade.store import Store

__all__ = ["Store"]
