"""Language-model policies, whatever the task: sampling, rollouts, updates, the decoder."""
