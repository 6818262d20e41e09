"""Estimate: the probability that the target answers one prompt harmfully, by importance sampling."""
