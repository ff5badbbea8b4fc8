"""Study split: the rollouts of a step split into P prompts of N; when a larger N stops paying."""
