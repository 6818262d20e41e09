"""Every error riskmon raises.

    RiskmonError
    ├── UserError               the user can fix it: exit code 2, one sentence, no traceback
    │   ├── ConfigError         an unknown key, a wrong value, a missing section
    │   ├── InputError          a prompt file that is missing or malformed
    │   ├── ModelUnavailable    a model, adapter or judge that cannot be loaded
    │   ├── ExpertUnusable      an expert with another vocabulary, or equal to the target
    │   ├── ClusterUnusable     a Ray cluster that cannot be reached, or has no place for the model
    │   └── StoreLocked         the keys given do not open the text in the store
    ├── TrafficUnavailable      the broker or the topic cannot be reached; worth retrying
    │   └── TrafficRefused      it answers and turns us away: settings on one of the two sides are wrong
    ├── StoreUnavailable        the database cannot be reached
    │   └── BatchRefused        messages of a batch may have been counted already; resume from the stored offsets
    ├── DeliveryFailed          a report could not be written, posted or mailed
    ├── PromptFailed            one prompt has no estimate; the cycle goes on
    │   ├── PromptTooLong       context and answer do not fit the model
    │   ├── PromptUnsupported   the prompt's shape has no rendering (messages without a template)
    │   └── NumericalFault      a log-probability or weight that is not a number
    ├── WorkerLost              the device worker died or overran its deadline, or the server it draws from is away
    └── RewordingEnded          the rewording of prompts was stopped, overran its deadline, or died

Messages say what was found, what is allowed and what to do next. No message holds the text of a prompt
or of a completion: a prompt is named by its id.
"""

from __future__ import annotations


class RiskmonError(Exception):
    """Base of every error raised on purpose."""


class UserError(RiskmonError):
    """A fault the user can fix; the command line prints it as one sentence and exits with 2."""


class ConfigError(UserError):
    """The configuration is missing, unreadable, or holds an unknown key or a wrong value."""


class InputError(UserError):
    """An input file is missing or malformed."""


class ModelUnavailable(UserError):
    """A model, tokenizer, adapter or judge could not be loaded."""


class ExpertUnusable(UserError):
    """An expert cannot serve as a proposal for this target."""


class ClusterUnusable(UserError):
    """The Ray cluster cannot be reached, or cannot hold what is asked of it."""


class StoreLocked(UserError):
    """The key of the store is missing, unsafe or malformed, or is not the one that its text was sealed with."""


class TrafficUnavailable(RiskmonError):
    """The traffic source cannot be reached at present; the caller may retry."""


class TrafficRefused(TrafficUnavailable):
    """The traffic source answers and turns us away; trying again helps once somebody has mended a setting."""


class StoreUnavailable(RiskmonError):
    """The database cannot be reached, or refuses the operation."""


class BatchRefused(StoreUnavailable):
    """What a batch counts does not follow on what the store has; drop it and resume from the stored offsets."""


class WorkerLost(RiskmonError):
    """The device worker process died or overran its deadline, or the server that it draws from is away.

    Attributes:
        reason: slug under which a prompt that killed the worker is counted.
    """

    reason = "worker_lost"


class RewordingEnded(RiskmonError):
    """The process that rewords prompts was stopped, overran its deadline, or died."""


class DeliveryFailed(RiskmonError):
    """A report did not reach one of the places it goes to."""


class PromptFailed(RiskmonError):
    """One prompt could not be estimated.

    Attributes:
        prompt_id: the prompt's id; its text is never kept.
        reason: short stable slug, used as a label value.
    """

    reason = "failed"

    def __init__(self, prompt_id: str, message: str) -> None:
        super().__init__(message)
        self.prompt_id = prompt_id


class PromptTooLong(PromptFailed):
    """The prompt and the answer do not fit into the model's context."""

    reason = "too_long"


class PromptUnsupported(PromptFailed):
    """The prompt's shape cannot be rendered for this model."""

    reason = "unsupported"


class NumericalFault(PromptFailed):
    """A logit, log-probability or weight was not finite where it must be."""

    reason = "not_finite"
