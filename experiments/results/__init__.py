"""What every table, figure and page of results shares: reading run folders, spread over seeds, drawing, one look.

Knows no experiment's code: studies, figures, reports and sweeps import from here and nothing here imports from them.
"""
