"""Errors in an image config: each is one clear line before anything is compiled."""

import math

import pytest

from experiments.imagenet import checks
from experiments.imagenet.problem import make_images
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config.load import load
from maxrl_jax.vision import glyphs
from tests.experiments.imagenet.small import ROOT, small

WRONG = [
    ({"loss__name": "mle"}, "loss.name"),
    ({"loss__sampling": "count"}, "loss.sampling"),
    ({"loss__num_rollouts": 0}, "loss.num_rollouts"),
    ({"loss__advantage__name": "rloo", "loss__num_rollouts": 1}, "loss.advantage.name"),
    ({"loss__advantage__name": "maxpo", "loss__advantage__k": 8}, "loss.advantage.k"),
    ({"loss__advantage__name": "partitioned", "loss__advantage__k": 2}, "loss.advantage.name"),
    ({"loss__advantage__name": "self_masked"}, "loss.advantage.name"),
    ({"batch_size": 0}, "batch_size"),
    ({"optimizer__schedule": "cosine", "optimizer__warmup_steps": 3}, "optimizer.warmup_steps"),
    ({"model__depth": 51}, "model.depth"),
    ({"model__stem": "wide"}, "model.stem"),
    ({"model__compute_dtype": "float16"}, "model.compute_dtype"),
    ({"data__image_size": 4}, "data.image_size"),
    ({"data__num_classes": 1}, "data.num_classes"),
    ({"data__num_classes": 1000}, "data.num_classes"),  # digits has ten
    ({"data__dir": "somewhere"}, "data.dir"),
    ({"data__jitter": -1.0}, "data.jitter"),
    ({"data__name": "imagenet2012", "data__num_classes": 1000, "data__dir": "/nowhere"}, "data.dir"),
    ({"data__name": "imagenet2012", "data__num_classes": 100}, "data.num_classes"),
    ({"data__name": "kanji", "data__num_classes": 10**6}, "data.n"),  # too many, or the extra is not installed
    ({"eval__gradient_norm_images": 21}, "eval.gradient_norm_images"),
]


@pytest.mark.parametrize(("overrides", "key"), WRONG, ids=lambda value: str(value).replace("__", "."))
def test_wrong_settings_are_named_before_any_compile(overrides, key):
    with pytest.raises(ConfigError) as caught:
        checks.check(small(**overrides))
    assert str(caught.value).startswith(key), caught.value
    assert "\n" not in str(caught.value)


def test_more_classes_than_differ_are_refused(monkeypatch):
    def none(key, num_classes):
        raise ValueError(f"num_classes: got {num_classes}, allowed: at most 7 differ clearly")

    monkeypatch.setattr(glyphs, "make_strokes", none)
    with pytest.raises(ConfigError, match=r"^data\.num_classes: got 12.*at most 7"):
        make_images(small(data__name="glyphs", data__num_classes=12))


@pytest.mark.parametrize("variant", ["tiny", "standin", "paper", "pod"])
def test_every_variant_is_valid(variant, prepared):
    files = {"data.dir": str(prepared), "eval.gradient_norm_images": 10} if variant in ("paper", "pod") else {}
    checks.check(load(f"{ROOT}/configs/imagenet.py:{variant}", {"wandb.mode": "disabled", **files}))


def test_the_paper_variant_is_the_papers():
    """MaxRL D.2: 20 epochs of 1,281,167 images in batches of 256, the first of them warm-up; the pod's epochs too."""
    paper = load(f"{ROOT}/configs/imagenet.py:paper")
    assert (paper.model.depth, paper.batch_size, paper.steps) == (50, 256, 100_091)
    assert paper.optimizer.warmup_steps == math.ceil(1_281_167 / 256)
    assert paper.optimizer.name == "sgd" and paper.optimizer.momentum == 0.9
    assert (paper.optimizer.learning_rate, paper.optimizer.schedule) == (0.1, "cosine")
    assert (paper.optimizer.weight_decay, paper.optimizer.clip_norm) == (0, 0)
    assert not paper.data.eval_crop and paper.loss.sampling == "counts"
    pod = load(f"{ROOT}/configs/imagenet.py:pod")
    assert pod.optimizer.learning_rate / pod.batch_size == paper.optimizer.learning_rate / paper.batch_size
    assert pod.steps * pod.batch_size == pytest.approx(20 * 1_281_167, rel=1e-3)
