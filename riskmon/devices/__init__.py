"""Where estimates are made: a process of its own on this machine, or actors on many."""
