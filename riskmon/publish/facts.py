"""What publish knows without asking the store: the configured harms, labels and schedules, and what is running.

Facts hold until the configuration is reloaded. A `Snapshot` may still carry forecasts made under an earlier
configuration (a harm since removed, other strata); `Facts.current` keeps those apart, so that one exposition never
mixes label sets. `Facts.current_sensitivity` does the same for what was found of rewordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from riskmon.config import Config, stratum_label
from riskmon.errors import PromptFailed, WorkerLost
from riskmon.records import DEAD_LETTER_OUTCOMES, CoverageCount, Forecast, Role, Snapshot, Stratum
from riskmon.records.sensitivity import StratumSensitivity


@dataclass(frozen=True, slots=True)
class HarmFacts:
    """A configured harm: its name, the id of its judge, and its budget of harmful outputs per day, if any."""

    name: str
    judge: str
    budget_daily: float | None = None


@dataclass(frozen=True, slots=True)
class ConfigState:
    """How the configuration file was read last.

    Attributes:
        loaded_at: when it was last taken over; None where nobody says.
        refused: whether it was refused since, so that the settings from before hold.
        pending: keys whose values in the file wait for a restart.
    """

    loaded_at: datetime | None = None
    refused: bool = False
    pending: tuple[str, ...] = ()


_UNKNOWN = ConfigState()


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of the running process and its configuration.

    Attributes:
        version: of riskmon. model: id of the deployed model.
        harms: in configured order.
        intake_mode: how requests are counted, as in `traffic.kafka.mode`; empty without traffic.
        stratum_labels: Prometheus label names that split the traffic; empty when it is not split.
        reject_reasons, failure_reasons, jobs, worker_losses: known values of the labels `reason` and `task`; their
            counters start at 0 instead of appearing with the first event.
        dead_letter_outcomes: the same for the label `outcome`; empty where rejected messages are not forwarded.
        estimate_schedule, forecast_schedule: crontabs in UTC; empty where unknown.
        responses_from_target: whether production responses count as draws of the target.
        state: how the configuration file was read last.
        role: what of the whole this process does.
    """

    version: str
    model: str
    harms: tuple[HarmFacts, ...]
    intake_mode: str = ""
    stratum_labels: tuple[str, ...] = ()
    reject_reasons: tuple[str, ...] = ()
    failure_reasons: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    worker_losses: tuple[str, ...] = ()
    dead_letter_outcomes: tuple[str, ...] = ()
    estimate_schedule: str = ""
    forecast_schedule: str = ""
    responses_from_target: bool = False
    state: ConfigState = _UNKNOWN
    role: Role = Role.ALL

    @classmethod
    def from_config(
        cls,
        config: Config,
        *,
        version: str,
        reject_reasons: Sequence[str] = (),
        jobs: Sequence[str] = (),
        worker_losses: Sequence[str] = (),
        state: ConfigState = _UNKNOWN,
        role: Role = Role.ALL,
    ) -> Facts:
        """Facts of a configuration; the caller names the reasons and jobs that other parts own."""
        model = config.model.target
        if config.model.revision is not None:
            model = f"{model}@{config.model.revision}"
        traffic = config.traffic
        strata = traffic.strata if traffic is not None else ()
        mode = "" if traffic is None else "seek" if traffic.seeks else "stream"
        return cls(
            version=version,
            model=model,
            harms=tuple(HarmFacts(h.name, h.judge.kind, h.budget_daily) for h in config.all_harms),
            intake_mode=mode,
            stratum_labels=tuple(stratum_label(path) for path in strata),
            reject_reasons=tuple(reject_reasons),
            failure_reasons=(*(kind.reason for kind in PromptFailed.__subclasses__()), WorkerLost.reason),
            jobs=tuple(jobs),
            worker_losses=tuple(worker_losses),
            dead_letter_outcomes=DEAD_LETTER_OUTCOMES if _forwards(config) else (),
            estimate_schedule=config.estimate.schedule,
            forecast_schedule=config.forecast.schedule,
            responses_from_target=config.responses_from_target,
            state=state,
            role=role,
        )

    def outlook(self, snapshot: Snapshot) -> tuple[Forecast, ...]:
        """The totals of every horizon, of configured harms."""
        harms = {harm.name for harm in self.harms}
        return tuple(forecast for forecast in snapshot.outlook if forecast.harm in harms)

    def current(self, snapshot: Snapshot) -> tuple[Forecast, ...]:
        """The forecasts that fit the running configuration: a harm that is configured, and its label names."""
        return tuple(made for made in snapshot.forecasts if self.fits(made.harm, made.stratum))

    def current_sensitivity(self, snapshot: Snapshot) -> tuple[StratumSensitivity, ...]:
        """What the last sensitivity run found of strata and harms that fit the running configuration."""
        found = () if snapshot.sensitivity is None else snapshot.sensitivity.strata
        return tuple(row for row in found if self.fits(row.harm, row.stratum))

    def coverage(self, snapshot: Snapshot) -> dict[str, CoverageCount]:
        """The coverage audit by harm over all strata, with responses where they count; without draws there is none."""
        pooled = (count.pooled(responses=self.responses_from_target) for count in snapshot.coverage)
        return {count.harm: count for count in pooled if count.stratum is None and count.target_draws > 0}

    def fits(self, harm: str, stratum: Stratum | None) -> bool:
        """Whether a harm is configured and a stratum has the configured labels; None is the total."""
        return any(known.name == harm for known in self.harms) and (
            stratum is None or tuple(name for name, _ in stratum.labels) == self.stratum_labels
        )


def _forwards(config: Config) -> bool:
    kafka = config.traffic.kafka if config.traffic is not None else None
    return kafka is not None and kafka.dead_letter_topic is not None
