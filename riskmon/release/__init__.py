"""`riskmon compare`: may this version of the model be released?

Two models answer the same prompts; the answer is hold, ship or undecided. `gate` runs it, `rounds` draws, `measured`
and `state` keep what was drawn, `decision` says what it means, `screen` tells a person and a program.
"""
