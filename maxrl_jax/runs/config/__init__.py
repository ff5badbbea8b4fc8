"""Configs: loading, checks, and the estimator they name."""
