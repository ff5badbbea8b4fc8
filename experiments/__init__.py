"""The drivers: they wire the package's parts into experiments, sweeps and figures."""
