"""Where tokens are made: engines draw answers from proposals and score answers under every voice."""
