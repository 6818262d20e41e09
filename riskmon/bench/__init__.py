"""Measurements of riskmon against other ways of doing the same.

`worlds` are tiny models in which every answer can be scored, so that the truth is known; `published` is the method
riskmon is measured against; `runs` repeats both on the same worlds, `scores` sums up how far each was from the truth;
`table` and `plot` show it. `estimator` ties them together for `riskmon bench estimator`.
"""
