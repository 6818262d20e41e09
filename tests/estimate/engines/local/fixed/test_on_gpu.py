"""What only a GPU can tell: that steps are recorded there, and that replays, merged copies and wide heads are right."""

import numpy as np
import pytest
import torch
from support.estimates import many_experts, world_config
from support.worlds import PROMPT, STEPS, tiny_llama

from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.engines.local.fixed.decoding import Decoding
from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.engines.local.strands import Strands
from riskmon.estimate.head import widen_head
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import first_mixture
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Prompt

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.3)])
@pytest.mark.parametrize("way", ["graphs", "compiled"])
@torch.inference_mode()
def test_recorded_steps_give_the_logits_of_ordinary_ones(way, dtype, tolerance):
    device = torch.device("cuda")
    module = tiny_llama(0).to(device, dtype).requires_grad_(False)
    widen_head(module)
    context = open_prefix(module, [1, 2, 5], device)
    decoding = Decoding(way, device)
    plain, recorded = Strands(STEPS), decoding.open("", STEPS)
    for strands in (plain, recorded):
        strands.add(module, context, torch.zeros((9, 0), dtype=torch.int64, device=device))
    for step in range(STEPS - 1):
        tokens = torch.arange(9, device=device) % 7 + step % 3
        found, expected = recorded.step(module, tokens), plain.step(module, tokens)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    replays = decoding._rooms[""].replays
    assert not replays.refused
    assert len(replays) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_draws_from_recorded_steps_are_those_of_ordinary_ones(world, lora_folder, dtype):
    """In half precision the sums of two ways round differently, so only the paths' agreement is asked for."""
    experts = [
        *many_experts(world.experts["unsafe"]),
        {"name": "adapter", "kind": "lora", "path": str(lora_folder)},
    ]
    found = []
    for decoding, merging in (("eager", "never"), ("graphs", "auto")):
        model = {"device": "cuda", "dtype": dtype, "decoding": decoding, "merge_adapters": merging}
        engine = open_session(world_config(world.target, experts, model=model)).engine
        proposals = first_mixture(len(engine.voices), [(0, None)], STEPS, 0.1).proposals
        counts = np.full(len(proposals), 5)
        job = Job(Prompt("p", PROMPT), proposals, counts, prompt_stream(0, "p"))
        found.append(engine.draw_many([job])[0])
        assert engine.experts[-1].merged == (merging == "auto")
        assert found[-1].path_discrepancy < (5e-5 if dtype == "float32" else 1.0)
    if dtype == "float32":
        np.testing.assert_array_equal(found[0].tokens, found[1].tokens)
        np.testing.assert_allclose(found[0].token_log_probs, found[1].token_log_probs, atol=1e-4)
