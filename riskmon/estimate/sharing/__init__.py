"""Sharing a GPU with others: how busy they keep it, and when work rests for them."""
