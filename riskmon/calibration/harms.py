"""Which harm a command is about."""

from __future__ import annotations

from riskmon.config import Config, HarmConfig
from riskmon.errors import ConfigError


def choose_harm(config: Config, name: str | None) -> HarmConfig:
    """The harm of a name; without one, the only harm there is.

    Raises:
        ConfigError: there is no such harm, or several and none is named.
    """
    harms = {harm.name: harm for harm in config.all_harms}
    if name is None and len(harms) == 1:
        return next(iter(harms.values()))
    if name is None:
        raise ConfigError(f"the configuration has the harms {', '.join(harms)}; say which with --harm")
    if name not in harms:
        raise ConfigError(f"the configuration has no harm {name!r}; it has {', '.join(harms)}")
    return harms[name]
