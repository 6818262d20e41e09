import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from riskmon.config import SamplerConfig
from riskmon.estimate.sampler import Sampler, draw_tokens

SETTINGS = [
    {},
    {"temperature": 0.7},
    {"top_k": 5},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"temperature": 1.3, "top_k": 8, "top_p": 0.9, "min_p": 0.02},
]


def logits(seed=0, rows=64, width=20):
    return torch.randn((rows, width), generator=torch.Generator().manual_seed(seed)) * 2


@pytest.mark.parametrize("settings", SETTINGS)
def test_probabilities_sum_to_one_inside_the_support(settings):
    log_probs = Sampler(SamplerConfig(**settings)).log_probs(logits())
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(64))


@pytest.mark.parametrize("settings", SETTINGS)
def test_given_tokens_score_as_in_the_whole_distribution(settings):
    sampler = Sampler(SamplerConfig(**settings))
    tokens = torch.randint(0, 20, (64,), generator=torch.Generator().manual_seed(1))
    whole = sampler.log_probs(logits()).gather(1, tokens[:, None])[:, 0]
    torch.testing.assert_close(sampler.token_log_probs(logits(), tokens), whole)
    if settings.get("top_k"):
        assert torch.isinf(whole).any()


def test_top_k_and_temperature_by_hand():
    row = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    got = Sampler(SamplerConfig(temperature=0.5, top_k=2)).log_probs(row)
    expected = torch.tensor([[-torch.inf, -torch.inf, *torch.tensor([4.0, 6.0]).log_softmax(0).tolist()]])
    torch.testing.assert_close(got, expected)


def test_half_precision_logits_are_processed_in_single_precision():
    rough = logits().bfloat16()
    sampler = Sampler(SamplerConfig())
    torch.testing.assert_close(sampler.log_probs(rough), rough.float().log_softmax(-1))


def test_draws_follow_the_distribution():
    log_probs = logits(3, rows=1, width=8).log_softmax(-1)
    uniforms = torch.from_numpy(np.random.default_rng(2).random(50_000))
    drawn = draw_tokens(log_probs.expand(50_000, -1), uniforms)
    expected = log_probs.double().exp()[0].numpy()
    assert chisquare(np.bincount(drawn, minlength=8), 50_000 * expected / expected.sum()).pvalue > 1e-3


def test_tokens_without_mass_are_never_drawn_even_at_the_edges():
    log_probs = torch.tensor([[-torch.inf, np.log(0.5), -torch.inf, np.log(0.5), -torch.inf]])
    uniforms = torch.tensor([0.0, 0.5 - 1e-12, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert draw_tokens(log_probs.expand(4, -1).float(), uniforms).tolist() == [1, 1, 3, 3]
