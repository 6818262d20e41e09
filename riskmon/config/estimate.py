"""How much is drawn, from where, and when."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from riskmon.config.values import Cron, Duration, Section

# A smaller pilot would choose from noise.
_SMALLEST_PILOT = 16
# Where nothing else is said, estimation goes on once others use this part of what makes it rest.
_RESUME = 0.75


class JudgedResponsesConfig(Section):
    """How many production responses are judged, apart from the draws."""

    judge_per_cycle: int = Field(
        1000,
        ge=0,
        description="most responses judged in one cycle, of prompts with estimates or without; they may take a tenth "
        "of the deadline and of the device budget; 0 judges none",
    )


class SharingConfig(Section):
    """When estimation rests for others on the same GPU."""

    max_utilization: float | None = Field(
        None,
        ge=0.01,
        le=1,
        description="share of the time in which others may keep the GPU busy before estimation rests; null never "
        "rests; needs riskmon[nvml]",
    )
    resume_below: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share at which it goes on; null is three quarters of max_utilization",
    )
    check_every: Duration = Field(timedelta(seconds=1), description="how often utilisation is read")
    smoothing: Duration = Field(
        timedelta(seconds=5), description="time constant of the mean over readings that decides"
    )
    gpu: str = Field(
        "auto",
        pattern=r"^(auto|GPU-[0-9a-fA-F-]+)$",
        description="which GPU is watched: auto is the model's; otherwise its UUID, as `nvidia-smi -L` shows it",
    )

    @model_validator(mode="after")
    def _resumes_below(self) -> SharingConfig:
        if self.resume_below is not None and self.resume_below > (self.max_utilization or 1.0):
            raise ValueError("resume_below must not be above max_utilization")
        return self

    @property
    def resume_at(self) -> float:
        """Share of the time at which estimation goes on, where it rests at all."""
        if self.resume_below is not None:
            return self.resume_below
        return _RESUME * (1.0 if self.max_utilization is None else self.max_utilization)


class EstimateConfig(Section):
    """How much is drawn, from where, and when."""

    samples_per_prompt: int = Field(500, ge=4, description="draws per prompt, over all proposals")
    defensive_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="share drawn from the target itself; it bounds every weight by its inverse",
    )
    pilot_share: float = Field(
        0.2,
        ge=0,
        le=0.5,
        description="share of a prompt's draws made first, to choose its proposals; they count in the guaranteed bound "
        "and not in p, so that p stays unbiased",
    )
    adapt: bool = Field(
        True,
        description="whether proposals and shares are chosen from earlier hits; false keeps the first plan",
    )
    windows: tuple[tuple[int, int | None], ...] = Field(
        ((0, 4), (0, 16), (0, None)),
        min_length=1,
        description="token windows [from, to) of the first plan, in which an expert speaks; outside the target does; "
        "null is the end",
    )
    device_budget: Duration = Field(
        timedelta(minutes=30),
        description="device time of one cycle, over all devices; plans, responses and lost work count too, pauses for "
        "others do not",
    )
    sharing: SharingConfig = Field(
        SharingConfig(), description="when estimation rests for others on the same GPU"
    )
    refine_share: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of the device budget kept for further draws where they help the forecast most",
    )
    refine_limit: int = Field(
        4, ge=1, description="most draws of one prompt, as a multiple of samples_per_prompt"
    )
    early_stop: float = Field(
        0.001,
        ge=0,
        lt=1,
        description="a prompt that adds less than this share to the forecast's variance gets no further draws",
    )
    hits_kept: int = Field(
        500,
        ge=0,
        description="harmful draws kept per stratum and harm, the newest, to choose proposals from",
    )
    responses: JudgedResponsesConfig = Field(
        JudgedResponsesConfig(), description="how many production responses are judged, apart from the draws"
    )
    deadline: Duration = Field(
        timedelta(hours=1), description="wall time of one cycle; beyond it the device worker is killed"
    )
    schedule: Cron = Field("0 */4 * * *", description="crontab of the estimate cycle, UTC")
    seed: int = Field(0, ge=0, description="root of every prompt's random stream")
    truncated_share: float = Field(
        0.5, gt=0, le=1, description="share of draws cut at the token cap above which TRUNCATED is raised"
    )
    path_tolerance: float = Field(
        0.05,
        gt=0,
        description="largest log-prob difference between decoding and rescoring before PATH_MISMATCH",
    )

    @model_validator(mode="after")
    def _values_fit_together(self) -> EstimateConfig:
        for start, stop in self.windows:
            if start < 0 or (stop is not None and stop <= start):
                raise ValueError(f"window [{start}, {stop}] must have 0 <= from < to")
        return self

    def of_draws(self) -> str:
        """What of it decides draws and their verdicts, as JSON."""
        return self.model_dump_json(exclude={"device_budget", "sharing", "deadline", "schedule", "hits_kept"})

    @property
    def pilot_samples(self) -> int:
        """Draws of a prompt's pilot; 0 where nothing adapts, or where there would be too few to choose from."""
        wanted = round(self.pilot_share * self.samples_per_prompt)
        return wanted if self.adapt and wanted >= _SMALLEST_PILOT else 0
