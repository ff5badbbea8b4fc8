"""One self-contained HTML page about one run or several: curves, final table, config, environment, pictures."""
