"""Seek mode: what a topic holds, told from a few ranges of it.

`design` says which offsets are read, `totals` what they tell of the others, and `intake` makes a batch of it. The first
two know nothing of Kafka or of messages: offsets and counts go in, numbers come out.
"""
