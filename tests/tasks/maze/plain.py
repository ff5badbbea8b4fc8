"""Mazes in plain Python, written for these tests alone: lists, sets and one step at a time."""

from fractions import Fraction

STEPS = {13: (-1, 0), 14: (1, 0), 15: (0, -1), 16: (0, 1)}  # up, down, left, right
JUMPS = ((-2, 0), (2, 0), (0, -2), (0, 2))


def around(square, size):
    """The cells two squares from a cell."""
    return [
        (square[0] + dr, square[1] + dc)
        for dr, dc in JUMPS
        if 0 < square[0] + dr < size - 1 and 0 < square[1] + dc < size - 1
    ]


def prim(size, rng, rule="cells"):
    """Walls of a maze as nested lists. ``rule`` 'cells' is randomised Prim; the others are wrong on purpose.

    'edges' pops a uniform pair of a carved and an uncarved cell, and 'last' the newest frontier cell.
    """
    walls = [[True] * size for _ in range(size)]
    walls[1][1] = False
    carved, frontier = {(1, 1)}, around((1, 1), size)
    while frontier:
        if rule == "edges":
            pairs = [(cell, other) for cell in frontier for other in around(cell, size) if other in carved]
            cell, parent = rng.choice(pairs)
        else:
            cell = frontier[-1] if rule == "last" else rng.choice(frontier)
            parent = rng.choice([other for other in around(cell, size) if other in carved])
        frontier.remove(cell)
        carved.add(cell)
        walls[cell[0]][cell[1]] = False
        walls[(cell[0] + parent[0]) // 2][(cell[1] + parent[1]) // 2] = False
        frontier += [other for other in around(cell, size) if other not in carved and other not in frontier]
    return walls


def prim_law(size):
    """The exact probability of every maze: {frozenset of the open squares between cells: Fraction}."""
    trees = {(frozenset([(1, 1)]), frozenset()): Fraction(1)}
    for _ in range(((size - 1) // 2) ** 2 - 1):
        grown = {}
        for (carved, gates), mass in trees.items():
            frontier = {other for cell in carved for other in around(cell, size)} - carved
            for cell in frontier:
                parents = [other for other in around(cell, size) if other in carved]
                for parent in parents:
                    gate = ((cell[0] + parent[0]) // 2, (cell[1] + parent[1]) // 2)
                    state = carved | {cell}, gates | {gate}
                    grown[state] = grown.get(state, 0) + mass / (len(frontier) * len(parents))
        trees = grown
    return {gates: mass for (_, gates), mass in trees.items()}


def gates(walls):
    """The open squares between the cells of a maze."""
    size = len(walls)
    return frozenset(
        (r, c) for r in range(1, size - 1) for c in range(1, size - 1) if (r + c) % 2 == 1 and not walls[r][c]
    )


def walls_of(gates, size):
    """Walls as nested lists, from the open squares between the cells."""
    return [[(r, c) not in gates and (r % 2 == 0 or c % 2 == 0) for c in range(size)] for r in range(size)]


def shortest_path(walls, start=(1, 1)):
    """Moves of a shortest path by breadth-first search, and the number of squares that can be reached."""
    size = len(walls)
    came = {start: ()}
    queue = [start]
    for square in queue:
        for move, (dr, dc) in STEPS.items():
            following = square[0] + dr, square[1] + dc
            if not walls[following[0]][following[1]] and following not in came:
                came[following] = (*came[square], move)
                queue.append(following)
    return list(came[size - 2, size - 2]), len(queue)


def judge(walls, answer):
    """Why an answer is right or wrong, in the words of the reward's definition."""
    size = len(walls)
    if 7 not in answer:
        return "no DONE"
    moves = answer[: answer.index(7)]
    if any(move not in STEPS for move in moves):
        return "not a move"
    row, column = 1, 1
    for move in moves:
        row, column = row + STEPS[move][0], column + STEPS[move][1]
        if row < 0 or row >= size or column < 0 or column >= size:
            return "edge"
        if walls[row][column]:
            return "wall"
        if (row, column) == (size - 2, size - 2):
            return "solved"
    return "short"


def exact(walls, answer):
    """1 where the answer is right and the walker stands on the goal for the first time after the last move."""
    if judge(walls, answer) != "solved":
        return 0
    goal, square, visits = (len(walls) - 2,) * 2, (1, 1), []
    for move in answer[: answer.index(7)]:
        square = square[0] + STEPS[move][0], square[1] + STEPS[move][1]
        visits.append(square == goal)
    return int(visits[-1] and sum(visits) == 1)


def path_quality(walls, answer):
    """The graded reward, by the words of its definition."""
    reason = judge(walls, answer)
    if reason not in ("solved", "short"):
        return 0.0
    size = len(walls)
    row, column, taken = 1, 1, 0
    for move in answer[: answer.index(7)]:
        if (row, column) == (size - 2, size - 2):
            break
        row, column, taken = row + STEPS[move][0], column + STEPS[move][1], taken + 1
    shortest = len(shortest_path(walls)[0])
    left = len(shortest_path(walls, (row, column))[0])
    reached = reason == "solved"
    assert reached == (left == 0)
    return 0.5 * max(0.0, (shortest - left) / shortest) + (0.5 * shortest / taken if reached else 0.0)


def encode(walls):
    """The prompt, written token by token."""
    size = len(walls)
    ids = [1, 4]
    for row in range(size):
        for column in range(size):
            if (row, column) == (1, 1):
                ids.append(11)
            elif (row, column) == (size - 2, size - 2):
                ids.append(10)
            else:
                ids.append(9 if walls[row][column] else 8)
        ids.append(12)
    return [*ids, 5, 6]
