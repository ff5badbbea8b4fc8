"""Study two_rewards: two rewards for one answer, combined before or after normalisation."""
