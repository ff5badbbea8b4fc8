"""Study compare: every method at every N on the same prompts, with and without noise."""
