"""The prompt bandit: many prompts, a softmax over answers each, some answers correct (MaxRL in miniature)."""
