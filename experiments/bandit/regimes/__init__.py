"""Study regimes: which estimator is ahead, over N, base pass rate, optimizer, steps and shared features."""
