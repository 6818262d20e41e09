"""The helm that the tests of the chart share."""

from support.helm import helm

__all__ = ["helm"]
