"""The vLLM engine: tokens are made by a server that has the weights, and every density is asked of it."""
