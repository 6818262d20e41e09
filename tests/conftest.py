"""Servers and models that several test folders share; each lives in its own file under tests/support/."""

from importlib.util import find_spec

pytest_plugins = [
    name
    for name in (
        "support.kafka",
        "support.nvml",
        "support.postgres",
        "support.prometheus",
        "support.alertmanager",
        "support.worlds",
    )
    if find_spec(name) is not None
]

# These start whole daemons and wait for them. Begun first, they do not keep one process busy after all others are done.
LONG = ("tests/demo/", "tests/e2e/")


def pytest_collection_modifyitems(items):
    """Files with long tests first; `--no-loadscope-reorder` keeps them there."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
