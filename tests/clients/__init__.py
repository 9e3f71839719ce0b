"""Real third-party clients against a real Qiao."""
