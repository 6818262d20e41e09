"""Decoding in steps of fixed shapes, which CUDA can record once and replay: see `strands.py`."""
