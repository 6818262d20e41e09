"""Servers and models that several test folders share; each lives in its own file under tests/support/."""

from importlib.util import find_spec

pytest_plugins = [
    name
    for name in (
        "support.kafka",
        "support.postgres",
        "support.prometheus",
        "support.alertmanager",
        "support.worlds",
    )
    if find_spec(name) is not None
]
