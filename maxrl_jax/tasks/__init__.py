"""What gives prompts and judges answers: one folder a task."""
