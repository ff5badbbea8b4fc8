"""Study pkpo: PKPO's Figures 2-5 in miniature."""
