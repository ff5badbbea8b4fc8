"""The estimator explorer: one HTML page, made from the library's own tables, that needs no network."""
