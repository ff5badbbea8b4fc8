"""A user's own image data: ``--config.data.name=my.module:source``, without a change of the driver."""

import numpy as np
import pytest

from experiments.imagenet import __main__ as driver
from experiments.imagenet import checks
from maxrl_jax.errors import ConfigError
from maxrl_jax.vision import arrays
from maxrl_jax.vision.images import Request
from tests.experiments.imagenet import own_source
from tests.experiments.imagenet.small import lines, small

MINE = {"data__name": "tests.experiments.imagenet.own_source:stripes", "data__num_classes": 2}


def test_it_trains_and_evaluates(tmp_path):
    config = small(**MINE, eval__gradient_norm_step=0, steps=2)
    checks.check(config)
    driver.run(config, tmp_path)
    assert [line["step"] for line in lines(tmp_path, "eval/")] == [0, 2]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"data__name": "glyph"}, r"^data\.name: got 'glyph', allowed: one of glyphs, "),
        ({"data__name": "no.module:here"}, r"^data\.name: .*No module named 'no'"),
        ({**MINE, "data__name": "tests.experiments.imagenet.own_source:absent"}, r"^data\.name: .*absent"),
        ({**MINE, "data__name": "tests.experiments.imagenet.own_source:not_a_source"}, r"^data\.name: .*not int"),
        ({**MINE, "data__num_classes": 3}, r"^data\.num_classes: got 3, allowed: 2"),
        ({**MINE, "data__image_size": 32}, r"^data\.image_size: got 32, allowed: 16"),
        ({**MINE, "eval__gradient_norm_images": 11}, r"^eval\.gradient_norm_images: got 11, .*from 1 to 10"),
    ],
)
def test_a_source_that_does_not_fit_is_one_line(fields, said):
    with pytest.raises(ConfigError, match=said) as error:
        checks.check(small(**fields))
    assert "\n" not in str(error.value)


def request(**changes):
    data = small(**MINE).data
    return Request(**{"data": data, "batch_size": 8, "seed": 3, "num_images": 0, **changes})


def test_hosts_read_parts_of_one_batch_and_every_validation_image_comes_once():
    whole = own_source.stripes.make(request())
    hosts = [own_source.stripes.make(request(shard_index=i, shard_count=2)) for i in range(2)]
    for step in (0, 5):
        images, labels = next(whole.host_batches(step))
        parts = [next(host.host_batches(step)) for host in hosts]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), images)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)
    assert not np.array_equal(next(whole.host_batches(0))[0], next(whole.host_batches(5))[0])
    batches = list(whole.validation_batches(4))
    seen = np.concatenate([labels[mask] for _, labels, mask in batches])
    np.testing.assert_array_equal(seen, own_source._labels[30:])
    joined = [np.concatenate(parts) for parts in zip(*(
        [labels for _, labels, _ in host.validation_batches(4)] for host in hosts), strict=True)]  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(joined), np.concatenate([labels for _, labels, _ in batches]))


@pytest.mark.parametrize(
    ("images", "labels"),
    [(np.zeros((3, 4, 4)), [0] * 3), (np.zeros((3, 4, 4, 1)), [0] * 2), (np.zeros((0, 4, 4, 1)), [])],
)
def test_arrays_that_do_not_fit_are_refused(images, labels):
    with pytest.raises(ValueError, match="allowed"):
        arrays.source(images, labels, images, labels)
