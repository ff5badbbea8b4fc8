"""Study train: one method on the prompt bandit, as a resumable run."""
