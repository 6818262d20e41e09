"""Forecast: from the probability of harm per prompt to expected harmful outputs per day."""
