"""Study maxpo: MaxPO's bandit, bias and variance of three estimators of max@k."""
