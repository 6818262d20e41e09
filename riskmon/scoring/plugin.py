"""A scorer of your own: a function of a `riskmon.records.Prompt`, named as `package.module:function`.

An ordinary prompt has the score 1, one that is to be sampled twice as often 2. Only proportions count, but scores are
cut to the floor and its inverse, so their mean should be near 1.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from riskmon.errors import ConfigError
from riskmon.records import Prompt


def load_scorer(name: str) -> Callable[[Prompt], float]:
    """The function of this name.

    Raises:
        ConfigError: its module cannot be imported, or there is no such function in it.
    """
    module_name, _, function = name.partition(":")
    try:
        module = import_module(module_name)
    except Exception as exc:
        raise ConfigError(
            f"traffic.sampling.scorer {name!r}: the module {module_name!r} cannot be imported ({type(exc).__name__}); "
            "install it where riskmon runs, or put its folder on PYTHONPATH"
        ) from exc
    found = getattr(module, function, None)
    if not callable(found):
        raise ConfigError(
            f"traffic.sampling.scorer {name!r}: the module {module_name!r} has no function {function!r}; "
            "name one that takes a riskmon.records.Prompt and gives a number"
        )
    scorer: Callable[[Prompt], float] = found
    return scorer
