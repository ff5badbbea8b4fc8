"""A verifier of the tests' own; it imports nothing, so that workers start at once."""


def letter(answer, gold):
    """Whether the answer holds a letter of the first or of the second half of the alphabet, as the gold does."""
    return any((c < "g") == (gold < "g") for c in answer if c.isalpha())
