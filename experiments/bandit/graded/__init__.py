"""Study graded: answers worth 0, 1/2 or 1; what the two likelihoods of a graded reward make of them."""
