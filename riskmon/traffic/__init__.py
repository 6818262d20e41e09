"""Traffic: from raw messages to exact counts and a sample with known inclusion probability."""
