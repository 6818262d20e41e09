"""`riskmon calibrate`: build unsafe variants of the target, and measure the judge.

One file per command: `direction`, `variant` (lora and refit), `judge`. They read files and the store, have
`riskmon.estimate.calibrate` do the work, and tell a person what came out. Long work can be interrupted: the same
command then goes on where it stopped.
"""
