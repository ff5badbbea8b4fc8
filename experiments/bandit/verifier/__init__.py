"""Study verifier: a verifier that errs; what false positives and false negatives leave of maximum likelihood."""
