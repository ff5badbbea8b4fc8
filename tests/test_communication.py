"""The collectives of a program are counted right, and a maze step has as few as the docs say."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import communication
from benchmarks.communication import Collective

ROOT = pathlib.Path(__file__).resolve().parents[1]

PROGRAM = """\
HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%inner (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %g = bf16[8,4]{1,0} all-gather(%x), channel_id=3, replica_groups=[2,4]<=[8], dimensions={0}
}

%outer (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %w = (s32[], f32[8]) while(%t), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
  %r = f32[16]{0} reduce-scatter(%y), replica_groups={{0,1},{2,3}}, dimensions={0}, to_apply=%add
}

%decode (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %d = f32[2]{0} all-reduce(%z), replica_groups={}, to_apply=%add
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %a = (f32[10]{0}, pred[3]{0}) all-reduce(%u, %v), channel_id=1, replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%add
  %w1 = (s32[], f32[8]) while(%t), condition=%c, body=%outer, backend_config={"known_trip_count":{"n":"5"}}
  %w2 = (s32[], f32[8]) while(%t), condition=%c, body=%decode
  %m = f32[8,4]{1,0} all-gather(%q), replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'a'}, dimensions={0}
  %n = f32[4]{0} all-reduce(%q), replica_groups=mesh['a'=2,'b'=2,'c'=2] {'a','c'}, to_apply=%add
  %alone = f32[4]{0} all-reduce(%q), replica_groups={{0},{1}}, to_apply=%add
}
"""


def test_collectives_are_counted_with_their_loops_groups_and_bytes():
    found = communication.collectives(PROGRAM, 8)
    assert found == [
        Collective("all-reduce", 43, 8, 1),
        Collective("all-gather", 64, 4, 15, loops=2),
        Collective("reduce-scatter", 64, 2, 5, loops=1),
        Collective("all-reduce", 8, 8, None, loops=1),
        Collective("all-gather", 128, 2, 1),
        Collective("all-reduce", 16, 4, 1),
        Collective("all-reduce", 16, 1, 1),
    ]
    assert [c.times for c in communication.collectives(PROGRAM, 8, turns=(7,))] == [1, 15, 5, 7, 1, 1, 1]
    assert [c.payload for c in found] == [43, 64, 128, 8, 128, 16, 16]
    assert [c.wire for c in found] == [2 * 43 * 7 / 8, 48.0, 64.0, 14.0, 64.0, 24.0, 0.0]
    assert communication.summary(found) == {
        "all-reduce": {"count": 2, "bytes": 59, "wire_bytes": 99, "in_loops": 1},
        "all-gather": {"count": 16, "bytes": 1088, "wire_bytes": 784, "in_loops": 0},
        "reduce-scatter": {"count": 5, "bytes": 640, "wire_bytes": 320, "in_loops": 0},
    }


SMALL = ("maze.size=7", "maze.num_held_out=64", "maze.answer_length=17", "model.hidden_size=16",
         "model.intermediate_size=32", "model.num_layers=1", "rl.num_prompts=4", "rl.num_rollouts=4")  # fmt: skip


def count(*arguments):
    command = [sys.executable, "-m", "benchmarks.communication", *(f"--set={text}" for text in SMALL), *arguments]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_step_adds_up_its_gradients_and_its_metrics_once_and_nothing_else():
    result = count("--devices=4")
    assert result["in_loops"] == 0
    assert set(result["collectives"]) == {"all-reduce"}
    reduced = result["collectives"]["all-reduce"]
    scalars = 1 + 1 + 14  # the denominator, the loss, the sums behind the metrics: 7 of them counts of reasons
    assert reduced["count"] == 2
    assert reduced["bytes"] == result["parameter_bytes"] + 4 * scalars
    assert result["wire_bytes"] == pytest.approx(2 * 3 / 4 * reduced["bytes"], abs=1)


@pytest.mark.slow
def test_the_bytes_depend_on_the_parameters_alone():
    one = count("--devices=4")
    more = count("--devices=4", "--set=rl.num_prompts=8", "--set=rl.num_rollouts=8", "--set=maze.answer_length=24")
    assert more["collectives"] == one["collectives"]
