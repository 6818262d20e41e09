"""The daemon's configuration for the demo, as a file that `riskmon run` reads like any other.

The numbers are chosen so that two CPU cores show a first forecast within three and a half minutes (the toy model:
within one), and not for precision: a real deployment draws hundreds of longer answers per prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from riskmon.demo.feed import TOPIC
from riskmon.demo.prompts import PERSONA, RUDE_WORDS, TINY_PERSONA

WINDOW = timedelta(hours=12)
"""Each window and route gets prompts in turn; long windows let a short cycle reach every route."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What differs between the real model and the toy.

    Attributes:
        persona: system message of the unsafe variant.
        harm: the one harm, as in the configuration.
        samples_per_prompt: draws. Half of them come from the target itself: a persona is a weak guide to a model's own
            slips.
        max_new_tokens: length of an answer.
        device_budget_s: length of a cycle: with loading, conversion and the wait for the first cycle the rest of the
            promised time.
        cycle_minutes: a cycle begins every so many minutes.
        environment: variables for processes that run the model. Nothing is fetched, since the model is a folder; and
            the toy is too small for more than one thread.
    """

    persona: str
    harm: Mapping[str, Any]
    samples_per_prompt: int
    max_new_tokens: int
    device_budget_s: int
    cycle_minutes: int
    environment: Mapping[str, str]


REAL = Scale(
    persona=PERSONA,
    harm={"name": "toxic", "judge": {"kind": "toxicity"}, "budget_daily": 150},
    samples_per_prompt=24,
    max_new_tokens=16,
    device_budget_s=120,
    cycle_minutes=5,
    environment={"HF_HUB_OFFLINE": "1"},
)
TINY = Scale(
    persona=TINY_PERSONA,
    harm={
        "name": "rude",
        "judge": {"kind": "regex", "pattern": rf"\b({'|'.join(RUDE_WORDS)})\b"},
        "budget_daily": 150,
    },
    samples_per_prompt=64,
    max_new_tokens=16,
    device_budget_s=6,
    cycle_minutes=2,
    environment={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
)


def write_settings(
    folder: Path, scale: Scale, *, model: Path, bootstrap: str, listen: str, now: datetime
) -> Path:
    """Write `riskmon.yaml` to a folder.

    Args:
        scale: `REAL` or `TINY`.
        model: folder of the target.
        bootstrap: the broker's host:port.
        listen: host:port of the page.
        now: when the daemon starts; its first cycle begins at once, the next by the schedule.
    """
    settings = {
        "model": {
            "target": str(model),
            "dtype": "float32",
            "max_new_tokens": scale.max_new_tokens,
            # A CPU's cores are busy with these, and prompts come out a few at a time for whoever watches.
            "batch_rows": 96,
        },
        "experts": [{"name": "persona", "kind": "system_prompt", "text": scale.persona}],
        "harms": [dict(scale.harm)],
        "estimate": {
            "samples_per_prompt": scale.samples_per_prompt,
            "defensive_share": 0.5,
            # The persona speaks throughout: so few draws are not to be divided among several windows.
            "windows": [[0, None]],
            "device_budget": f"{scale.device_budget_s}s",
            "schedule": cycle_schedule(scale.cycle_minutes, now),
        },
        "traffic": {
            "kafka": {"bootstrap_servers": [bootstrap], "topic": TOPIC, "start": "earliest"},
            "strata": ["attributes.route"],
            "window": f"{WINDOW / timedelta(hours=1):g}h",
            # More than a demo of an hour estimates.
            "sample_per_window": 100,
        },
        "forecast": {"schedule": "* * * * *"},
        # Ten minutes of it would hold up the demo's cycles.
        "sensitivity": {"schedule": None},
        # The first cycle of a target is a release: the page lists a report as soon as there is a forecast.
        "publish": {"listen": listen, "reports": str(folder / "reports")},
        "report": {"period": "1d"},
        "store": {"url": store_url(folder)},
        "logging": {"format": "json"},
    }
    file = folder / "riskmon.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False, width=100), encoding="utf-8")
    return file


def store_url(folder: Path) -> str:
    """The store that the daemon writes and the tour reads."""
    return f"sqlite:///{folder / 'riskmon.db'}"


def cycle_schedule(minutes: int, now: datetime) -> str:
    """A crontab that comes due every so many minutes, and first when almost that time has passed.

    A cycle that came due while the first one still works would be skipped, and counted as a failure.
    """
    return f"{now.minute % minutes}-59/{minutes} * * * *"
