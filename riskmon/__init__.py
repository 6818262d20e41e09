"""riskmon forecasts how many harmful outputs a deployed language model will produce tomorrow."""

from importlib.metadata import version

__version__ = version("riskmon")
