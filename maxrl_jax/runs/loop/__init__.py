"""The host loop, its compiled calls, and optimizers."""
