"""What mkdocs needs beyond its plugins: pages from outside docs/, links between them, formulas without a network."""
