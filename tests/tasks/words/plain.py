"""Words told again in plain Python, from their definitions: what a problem asks, and what an answer says."""

import re

MEANINGS = {
    **dict.fromkeys(("over", "above", "beyond", "past"), lambda value, number: value + number),
    **dict.fromkeys(("under", "below", "beneath", "behind"), lambda value, number: value - number),
    **dict.fromkeys(("twice", "double", "twofold", "twin"), lambda value, number: 2 * value),
    **dict.fromkeys(("half", "midway", "split", "shared"), lambda value, number: value / 2),
}


def solve(text):
    """Every quantity a question leads through, the one asked for last."""
    told, who = re.fullmatch(r"(.*) how many has (\w+)", text).groups()
    has, values = {}, []
    for sentence in told.split(" then "):
        name, amount = re.fullmatch(r"(\w+) has (.*)", sentence).groups()
        number = int(re.match(r"\d+|", amount)[0] or 0)
        *_, relation, other = amount.split() if len(values) else (None, None)
        has[name] = MEANINGS[relation](has[other], number) if relation else number
        values.append(has[name])
    assert name == who
    return values


def judge(answer, gold):
    """The reason of one answer, a list of tokens, token by token."""
    text = []
    closed = False
    for token in answer:
        if token in (0, 1):
            break
        if token == 3:
            closed = True
            break
        text.append(token)
    if closed and 2 in text:
        content = text[len(text) - text[::-1].index(2) :]
        if content:
            if not all(4 <= token <= 13 for token in content):
                return "not a number"
            return "right" if value(content) == gold else "wrong"
    runs, before = [], None
    for token in text:
        if 4 <= token <= 13:
            if before is not None and 4 <= before <= 13:
                runs[-1].append(token)
            else:
                runs.append([before, token])
        before = token
    runs = [run[1:] for run in runs if run[0] != 2]
    if not runs:
        return "no number"
    return "right" if value(runs[-1]) == gold else "wrong"


def value(digits):
    return int("".join(str(token - 4) for token in digits))
