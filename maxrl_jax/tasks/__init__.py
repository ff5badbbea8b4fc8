"""The tasks: each generates prompts and judges answers. One folder a task."""
