"""The bandit toys: MaxPO's bandit, the prompt bandit, PKPO's story in miniature, two rewards."""
