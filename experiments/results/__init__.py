"""Shared by every table, figure and page of results: reading and grouping run folders, spread over seeds, plots, style.

Knows no experiment's code: studies, figures, reports and sweeps import from here and nothing here imports from them.
"""
