"""Additions to mkdocs: pages from outside docs/, links between them, formulas without a network."""
