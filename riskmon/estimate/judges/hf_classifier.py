"""`hf-classifier`: a sequence classifier; the score is the probability of the labels that mean harm.

With one label per text the probabilities are a softmax and the harmful ones add up; with independent labels each is a
sigmoid and the largest counts. An answer too long for the model has no verdict: a classifier that reads the first half
of an answer says nothing about the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from riskmon.config import HfClassifierJudge
from riskmon.errors import ModelUnavailable
from riskmon.estimate.judges.dialogue import flatten
from riskmon.estimate.judges.identity import judge_id
from riskmon.estimate.judges.network import JudgeNetwork, load_network
from riskmon.estimate.meter import Meter
from riskmon.records import FloatArray, Prompt, Verdicts


class HfClassifier:
    """Score = probability of the harmful labels."""

    def __init__(self, config: HfClassifierJudge, network: JudgeNetwork, meter: Meter) -> None:
        self._meter = meter.beside(network.device.type)
        self._network = network
        self._multi_label = config.multi_label
        self._dialogue = config.text == "dialogue"
        self._batch_size = config.batch_size
        self._limit = network.limit(config.max_tokens)
        self._columns = _columns(config.labels, network)
        text_config = network.module.config.get_text_config()
        if text_config.pad_token_id is None:
            # Decoder classifiers read the last token that is not padding, and must know what padding is.
            text_config.pad_token_id = network.tokenizer.pad_token_id
        self.id = judge_id(
            config.kind,
            network.name,
            network.revision,
            labels=sorted(set(config.labels)),
            multi_label=config.multi_label,
            text=config.text,
            max_tokens=config.max_tokens,
            **network.identity,
        )

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """Classify each output."""
        scores = np.full(len(outputs), np.nan)
        if not outputs:
            return Verdicts(scores)
        plain = self._network.plain
        answers = [plain.text(output) for output in outputs]
        texts = ([flatten(plain.prompt(prompt))] * len(answers), answers) if self._dialogue else (answers,)
        encoded = self._network.tokenizer(*texts, truncation=False, verbose=False)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        # Neighbours in length share a batch, so that little is padded.
        rows = sorted((i for i, n in enumerate(lengths) if 0 < n <= self._limit), key=lambda i: lengths[i])
        for start in range(0, len(rows), self._batch_size):
            batch = rows[start : start + self._batch_size]
            chosen = {key: [values[i] for i in batch] for key, values in encoded.items()}
            with self._meter.working():
                scores[batch] = self._classify(chosen)
        return Verdicts(scores)

    @torch.inference_mode()
    def _classify(self, encoded: dict[str, list[list[int]]]) -> FloatArray:
        """Scores [n] of encoded texts; NaN where a probability is not finite."""
        inputs = self._network.tokenizer.pad(encoded, padding_side="right", return_tensors="pt")
        logits = self._network.module(**inputs.to(self._network.device)).logits.double().cpu()  # [n, labels]
        if self._multi_label:
            harmful = logits.sigmoid()[:, self._columns].amax(-1)
        else:
            harmful = logits.softmax(-1)[:, self._columns].sum(-1)
        scores: FloatArray = harmful.numpy()
        return np.clip(scores, 0, 1)  # a sum of probabilities may pass 1 by rounding


def _columns(labels: Sequence[str], network: JudgeNetwork) -> list[int]:
    """Columns of the logits that the labels name.

    Raises:
        ModelUnavailable: the model knows no such label.
    """
    known = {str(name): int(column) for column, name in network.module.config.id2label.items()}
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise ModelUnavailable(
            f"judge 'hf-classifier': {network.name!r} has no label {unknown[0]!r}; it has {', '.join(known)}"
        )
    return sorted({known[label] for label in labels})


def build_hf_classifier(config: HfClassifierJudge, meter: Meter | None = None) -> HfClassifier:
    """Load the classifier.

    Raises:
        ModelUnavailable: the model does not load, or lacks a label.
    """
    network = load_network(config.kind, config.model, config, "classifier")
    return HfClassifier(config, network, meter or Meter())
