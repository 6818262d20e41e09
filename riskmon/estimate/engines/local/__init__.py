"""The engine on a device of this process; docs/engine.md tells how it works."""
