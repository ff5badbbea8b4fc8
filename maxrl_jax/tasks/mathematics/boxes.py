r"""The last box of an answer, on which several answers vote."""

_OPEN = "\\boxed{"


def last_box(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}``, braces balanced and blanks trimmed; None where no box is closed."""
    start = len(text)
    while (start := text.rfind(_OPEN, 0, start)) >= 0:
        content = _balanced(text, start + len(_OPEN))
        if content is not None:
            return content.strip()
    return None


def _balanced(text: str, start: int) -> str | None:
    """The text from ``start`` up to the brace that closes one opened just before it; None if there is none."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return None
