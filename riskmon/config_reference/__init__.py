"""docs/configuration.md and deploy/riskmon.yaml, rendered from `riskmon.config`.

`python -m riskmon.config_reference page > docs/configuration.md` and
`python -m riskmon.config_reference file > deploy/riskmon.yaml` write them anew; a test says when that is due.
Key, type, default and meaning are read from the fields; the examples of keys without a default stand in `examples`.
"""
