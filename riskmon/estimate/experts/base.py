"""What an expert is, and the target's weights that several experts share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson
from torch import Tensor, nn

from riskmon.errors import ExpertUnusable, ModelUnavailable
from riskmon.estimate.experts.merged import MergedCopies, Merging
from riskmon.estimate.model import LanguageModel
from riskmon.records import Prompt


class Expert(Protocol):
    """A context and a network that together give next-token logits over the target's vocabulary."""

    @property
    def name(self) -> str:
        """Short name, unique among the experts."""

    @property
    def derived(self) -> bool:
        """Whether its logits follow from the target's by `adjust` alone, so that it costs no forward pass.

        `context` and `active` are then the target's.
        """

    @property
    def network(self) -> str:
        """Name of the weights that `active` puts in force; experts of one name can share a forward pass."""

    def context(self, prompt: Prompt) -> list[int]:
        """Token ids the answer is conditioned on.

        Raises:
            PromptFailed: the prompt cannot be rendered.
        """

    def active(self) -> AbstractContextManager[nn.Module]:
        """The network with this expert's weights in force, for the length of a `with` block."""

    def adjust(self, logits: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """This expert's logits of the next token, from its network's.

        Args:
            logits: [n, V], of the network in its context; the caller's array stays untouched.
            tokens: [n, s] int64, the answers so far.
            lengths: [n] int64, tokens of each; None where all have s.

        Returns:
            [n, V].
        """


class NetworkExpert:
    """What experts have in common whose network gives their logits as they are."""

    derived = False

    def adjust(self, logits: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The network's own logits."""
        return logits


TARGET_NETWORK = ""
"""The target's own weights; no expert can have this name."""


class TargetWeights:
    """The target's network, with at most one adapter in force at a time.

    Adapters live in one PeftModel beside the untouched base weights, or have merged copies of their own; with none in
    force the network computes the target exactly.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._peft: Any = None
        self._copies = MergedCopies(model.device)

    def add_adapter(self, name: str, path: Path, merge: Merging = "never", memory_share: float = 1) -> None:
        """Load a LoRA adapter under a name.

        Args:
            merge, memory_share: whether it gets a merged copy of the weights; see `MergedCopies`.

        Raises:
            ModelUnavailable: the folder, its configuration or its safetensors weights do not load.
            ExpertUnusable: the adapter does not fit the target.
        """
        if not (path / "adapter_config.json").is_file():
            raise ModelUnavailable(
                f"expert {name!r}: no adapter_config.json in {path}; give the folder of a PEFT adapter"
            )
        if not (path / "adapter_model.safetensors").is_file():
            raise ModelUnavailable(
                f"expert {name!r}: no adapter_model.safetensors in {path}; pickled adapters are refused, "
                "save it again with safe_serialization=True"
            )
        _refuse_biases(name, path)
        from peft import PeftModel

        try:
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(
                    self.model.module, path, adapter_name=name, is_trainable=False
                )
            else:
                self._peft.load_adapter(path, adapter_name=name, is_trainable=False)
            self._peft.eval()
        except (RuntimeError, ValueError, KeyError, OSError) as exc:
            first_line = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
            raise ExpertUnusable(
                f"expert {name!r}: the adapter in {path} does not fit the target: {first_line[:200]}"
            ) from exc
        if self._copies.make(self._peft, name, merge, memory_share):
            self._forget(name)

    def merged(self, adapter: str) -> bool:
        """Whether an adapter has a merged copy of the weights."""
        return adapter in self._copies.networks

    @contextmanager
    def active(self, adapter: str | None) -> Iterator[nn.Module]:
        """The network with one adapter in force, or with none: then it is the target."""
        if adapter in self._copies.networks:
            yield self._copies.networks[adapter]
        elif self._peft is None:
            yield self.model.module
        elif adapter is None:
            with self._peft.disable_adapter():
                yield self._peft
        else:
            self._peft.set_adapter(adapter)
            yield self._peft

    def _forget(self, name: str) -> None:
        """Take an adapter out of the target's network; the last one takes peft's detours with it."""
        if len(self._peft.peft_config) > 1:
            self._peft.delete_adapter(name)
        else:
            self._peft.unload()
            self._peft = None


def _refuse_biases(name: str, path: Path) -> None:
    """Refuse an adapter that would change the target: peft writes trained biases over the base model's own."""
    try:
        bias = orjson.loads((path / "adapter_config.json").read_bytes()).get("bias", "none")
    except (orjson.JSONDecodeError, AttributeError):
        return  # peft says what is wrong with it
    if bias != "none":
        raise ExpertUnusable(
            f"expert {name!r}: the adapter in {path} was trained with bias {bias!r}, which would change the target "
            "itself; train it with bias 'none'"
        )
