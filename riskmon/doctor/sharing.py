"""Whether estimation can rest for others on the GPU, as it was told to, and how busy they are now."""

from __future__ import annotations

from riskmon.config import Config
from riskmon.doctor.finding import Check, Finding, Level
from riskmon.errors import ModelUnavailable
from riskmon.publish.figures import percent

_SUBJECT = "sharing"


def check_sharing(config: Config) -> Check[None]:
    """Look at the GPU once, before anything is loaded; nothing is said where estimation is not to rest."""
    settings = config.estimate.sharing
    if settings.max_utilization is None:
        return
    from riskmon.estimate.model import pick_device
    from riskmon.estimate.sharing.opening import find_gpu
    from riskmon.estimate.sharing.source import Unknowable

    try:
        gpu = find_gpu(settings, pick_device(config.model.device))
        now = gpu.others(float("inf"))
    except ModelUnavailable:
        return  # the model's own check says so
    except Unknowable as exc:
        yield Finding(Level.WARNING, _SUBJECT, f"estimate.sharing.max_utilization has no effect, since {exc}")
        return
    looks = "while it works" if gpu.by_process else "while it rests, for which it stops now and then"
    yield Finding(
        Level.OK,
        _SUBJECT,
        f"{gpu.name} is {percent(now)} busy with others; estimation rests above {percent(settings.max_utilization)} "
        f"and goes on at {percent(settings.resume_at)}; it can tell others from itself {looks}",
    )
