"""The maze vocabulary, the prompt, and the lengths that follow from the size of a maze.

A maze is a grid of ``size`` x ``size`` squares, size odd and at least 5; True in ``walls`` is a wall. Its cells
are the squares at odd coordinates, ``(size - 1) / 2`` a side. Start (1, 1), goal (size - 2, size - 2), as (row,
column) from the top left. Token ids are those of the authors' release (MaxRL, appendix D.1).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Int32

VOCABULARY_SIZE = 32  # ids 17..31 are unused; the embedding of the published model has 32 rows

PAD, BOS, EOS, UNK = 0, 1, 2, 3
GRID_START, GRID_END, PATH_START, DONE = 4, 5, 6, 7
PATH, WALL, GOAL, START, NEWLINE = 8, 9, 10, 11, 12
UP, DOWN, LEFT, RIGHT = 13, 14, 15, 16

NAMES = (
    "<pad>", "<bos>", "<eos>", "<unk>",
    "GRID_START", "GRID_END", "PATH_START", "DONE",
    "PATH", "WALL", "GOAL", "START", "NEWLINE",
    "UP", "DOWN", "LEFT", "RIGHT",
)  # fmt: skip

MOVES = (UP, DOWN, LEFT, RIGHT)  # in the order of the 2-bit codes 0..3 used inside the generator
DISPLACEMENTS = {UP: (-1, 0), DOWN: (1, 0), LEFT: (0, -1), RIGHT: (0, 1)}  # (rows, columns)
ARROWS = {UP: "↑", DOWN: "↓", LEFT: "←", RIGHT: "→"}

MIN_SIZE = 5
PUBLISHED_POSITIONS = 512  # of the published model
_PUBLISHED_ANSWER_LENGTH = {17: 180}  # new tokens sampled in the authors' release


def check_size(size: int) -> None:
    """Raises ValueError unless ``size`` is an odd integer >= 5."""
    if not isinstance(size, int | np.integer) or size < MIN_SIZE or size % 2 == 0:
        raise ValueError(f"maze size: got {size!r}, allowed: odd integers >= {MIN_SIZE}")


def cells_per_side(size: int) -> int:
    """Cells along one side of a maze, (size - 1) / 2."""
    check_size(size)
    return (int(size) - 1) // 2


def prompt_length(size: int) -> int:
    """Tokens of a prompt: <bos> GRID_START, size rows of size squares and NEWLINE, GRID_END PATH_START."""
    check_size(size)
    return int(size) * (int(size) + 1) + 4


def longest_solution(size: int) -> int:
    """The most moves the solution of any maze of this size can have (attained, so it is no mere bound).

    A solution is a simple path through the m x m cells, m = (size - 1) / 2, between opposite corners, 2 moves an edge.
    On a chess board both corners have one colour, so a path visits one more cell of it than of the other: for odd m all
    m^2 cells at most, for even m all but one. Going through the rows alternately attains the first; the second leaves
    out the upper cell of the last column, with the last two rows gone through by columns.

    Returns:
        2 (m^2 - 1) for odd m, 2 (m^2 - 2) for even m: 4, 16, 28, 48, 68, 96, 124 for sizes 5, 7, .. 17.
    """
    m = cells_per_side(size)
    return 2 * (m * m - 1) if m % 2 else 2 * (m * m - 2)


def answer_length(size: int, positions: int = PUBLISHED_POSITIONS) -> int:
    """New tokens to sample: 180 at 17 x 17 as published, else twice the longest solution; capped by the positions.

    Args:
        size: of the maze.
        positions: positions of the model, shared by prompt and answer.

    Raises:
        ValueError: where fewer tokens are left after the prompt than the longest solution and DONE need.
    """
    wanted = _PUBLISHED_ANSWER_LENGTH.get(int(size), 2 * longest_solution(size))
    length = min(wanted, positions - prompt_length(size))
    needed = longest_solution(size) + 1
    if length < needed:
        raise ValueError(
            f"positions: got {positions}, allowed: at least {prompt_length(size) + needed} at maze size {size} "
            f"(a prompt of {prompt_length(size)} tokens, a solution of up to {needed - 1} moves and DONE)"
        )
    return length


def check_answer_length(size: int, length: int) -> None:
    """Raises ValueError unless ``length`` tokens can hold the longest solution of this size and DONE."""
    needed = longest_solution(size) + 1
    if length < needed:
        raise ValueError(
            f"answer length: got {length}, allowed: at least {needed} at maze size {size} "
            f"(a solution of up to {needed - 1} moves and DONE)"
        )


def ended(moves: Int[Array, "B L"], num_moves: Int[Array, " B"]) -> Int32[Array, "B L"]:
    """An answer: its first moves, then DONE, <eos> and <pad>, as far as they fit."""
    after = jnp.arange(moves.shape[1]) - num_moves[:, None]
    ending = jnp.where(after == 0, DONE, jnp.where(after == 1, EOS, PAD))
    return jnp.where(after < 0, moves, ending).astype(jnp.int32)


def encode_prompt(walls: Bool[Array, "*batch n n"]) -> Int32[Array, "*batch P"]:
    """The prompt of each maze: <bos> GRID_START, the squares row by row, NEWLINE after each row, GRID_END PATH_START.

    Args:
        walls: True where there is a wall.

    Returns:
        Token ids, P = prompt_length(n).
    """
    size = walls.shape[-1]
    check_size(size)
    batch = walls.shape[:-2]
    marks = np.zeros((size, size), np.int32)
    marks[1, 1], marks[size - 2, size - 2] = START, GOAL
    squares = jnp.where(marks > 0, marks, jnp.where(walls, WALL, PATH))
    rows = jnp.concatenate([squares, jnp.full((*batch, size, 1), NEWLINE)], axis=-1)

    def constant(*ids: int):
        return jnp.broadcast_to(jnp.array(ids), (*batch, len(ids)))

    grid = rows.reshape(*batch, size * (size + 1))
    parts = [constant(BOS, GRID_START), grid, constant(GRID_END, PATH_START)]
    return jnp.concatenate(parts, axis=-1).astype(jnp.int32)


def decode(tokens) -> str:
    """Token names separated by blanks, for people; lines end where NEWLINE does."""
    names = [NAMES[i] if 0 <= i < len(NAMES) else f"<unused {i}>" for i in np.asarray(tokens).tolist()]
    return " ".join(names).replace("NEWLINE ", "NEWLINE\n")


def arrows(answer) -> str:
    """An answer as arrows up to its first DONE, <eos> or end, other tokens by name: ``→→↓↓ DONE``."""
    words = ""
    for token in np.asarray(answer).tolist():
        if token in ARROWS:
            words += ARROWS[token]
            continue
        words += (" " if words else "") + decode([token])
        if token in (DONE, EOS):
            break
        words += " "
    return words.strip()


def positions(answer) -> list[tuple[int, int]]:
    """The squares visited by the moves at the head of an answer, as (row, column), start included (on the host)."""
    row, column = 1, 1
    visited = [(row, column)]
    for token in np.asarray(answer).tolist():
        if token not in DISPLACEMENTS:
            break
        rows, columns = DISPLACEMENTS[token]
        row, column = row + rows, column + columns
        visited.append((row, column))
    return visited


def draw(walls, answer=None) -> str:
    """A maze in characters: ``#`` wall, ``S`` start, ``G`` goal, ``.`` the squares an answer visits."""
    walls = np.asarray(walls)
    size = walls.shape[-1]
    picture = np.where(walls, "#", " ").astype("<U1")
    for row, column in positions(answer) if answer is not None else ():
        if 0 <= row < size and 0 <= column < size and not walls[row, column]:
            picture[row, column] = "."
    picture[1, 1], picture[size - 2, size - 2] = "S", "G"
    return "\n".join("".join(row) for row in picture)
