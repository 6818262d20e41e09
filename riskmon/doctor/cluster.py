"""The Ray cluster that estimates are to be made on: whether it lets us in, and what it has."""

from __future__ import annotations

import logging

from riskmon.config import Config
from riskmon.doctor.finding import Check, Finding, Level

log = logging.getLogger(__name__)


def check_cluster(config: Config) -> Check[None]:
    """Join, look, leave; no model is loaded there."""
    from riskmon.devices.ray.link import survey
    from riskmon.devices.ray.placing import wanted

    log.info("joining the Ray cluster")
    resources = survey(config)
    gpu, actors = wanted(config, resources)
    text = (
        f"Ray cluster ({config.devices.address}) with {resources}; devices.actors is {config.devices.actors}: "
        f"{actors} actor{'' if actors == 1 else 's'}, each with the model on {'a GPU' if gpu else 'the CPU'}"
    )
    if gpu and actors > resources.gpus:
        yield Finding(
            Level.WARNING,
            "devices",
            f"{text}: more than there are GPUs at present, so some will wait for one",
        )
        return
    yield Finding(Level.OK, "devices", text)
