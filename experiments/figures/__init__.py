"""Every reproduced figure: ``python -m experiments.figures --figure=NAME|all --out=DIR [--runs=DIR ...] [--quick]``."""
