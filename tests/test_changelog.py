"""The change log sends imports to modules that exist, from modules that do not."""

import re

from tests.examples.running import ROOT

MOVES = re.findall(
    r"^\| `(maxrl_jax[\w.]+)` \| `(maxrl_jax[\w.]+)` \|$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
)


def exists(module):
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_every_new_import_path_exists_and_no_old_one_does():
    assert len(MOVES) > 40
    assert [new for _, new in MOVES if not exists(new)] == []
    assert [old for old, _ in MOVES if exists(old)] == []
