"""Which prompts are likely to be risky, told before they are estimated, so that the sample holds more of them.

A scorer gives a prompt a score; clipped to [floor, 1 / floor] it is the prompt's size, by which it is sampled
(`riskmon.traffic.sampling`). Forecasts are unbiased for any scorer; a good one makes them sharper.

**The best size.** A cell's total sum_i w_i p_i of estimates p_i, each with a chance proportional to its size s_i, has
about the variance (sum_i s_i)(sum_i E[p_i^2] / s_i) / k. By Cauchy & Schwarz it is smallest where

    s_i  ~  sqrt(E[p_i^2 | text]) = sqrt(E[p_i | text]^2 + Var(p_i | text) + variance of the estimate)

which is Neyman's allocation (1934), one prompt a stratum: what matters is not the risk that is expected but the risk
that is possible. Uniform sampling has N sum_i (p_i - p_bar)^2 / k; the quotient of the two is the *variance ratio*
that `training` measures on prompts that a model was not fitted to.

**What a floor costs and buys.** No size is below the floor f, and the mean size is about 1, so a prompt's chance is
at least f times that of uniform sampling, no weight is above 1 / f times the uniform one, and the worst scorer makes
the variance at most 1 / f times as large. The largest size bounds how many prompts must be scored at all.

    text       what a scorer reads of a prompt, and its hashed features
    training   fits the text model, and asks whether it helps
    text_model  the fitted model as a scorer
    sizes      from any scorer to sizes: bounds, faults, a newer model
    plugin     a scorer of your own

scikit-learn is imported on use.
"""

from riskmon.scoring.plugin import load_scorer
from riskmon.scoring.sizes import Sizes, open_sizes
from riskmon.scoring.training import Example, train

__all__ = ["Example", "Sizes", "load_scorer", "open_sizes", "train"]
