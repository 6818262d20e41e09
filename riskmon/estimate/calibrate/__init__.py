"""Building unsafe variants of the target: what `riskmon calibrate` runs, one file per kind of variant.

Each takes the loaded target and material to learn from, and writes a private file or folder that an expert's
configuration then names. The target itself is never changed.
"""
