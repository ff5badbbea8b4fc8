"""The random resized crop, and the two views of a validation image."""

import numpy as np
import pytest

from maxrl_jax.vision.imagenet2012 import augmentation


@pytest.mark.parametrize("shape", [(375, 500), (100, 100), (500, 90), (3, 200), (1, 1)])
def test_boxes_lie_in_the_image(shape):
    for position in range(200):
        top, left, height, width = augmentation.random_box(*shape, augmentation.uniforms(0, position))
        assert top >= 0 and left >= 0 and height > 0 and width > 0
        assert top + height <= shape[0] and left + width <= shape[1]
    middle = augmentation.random_box(300, 3, np.full(44, 0.5))  # no box fits an image so narrow
    assert middle == (148, 0, 4, 3)


def test_areas_are_uniform_and_ratios_log_uniform():
    """At 1000 x 1000 all but the largest boxes fit at the first try, so the distributions are the requested ones."""
    boxes = np.array([augmentation.random_box(1000, 1000, augmentation.uniforms(1, p)) for p in range(4000)])
    top, left, height, width = boxes.T
    area, ratio = height * width / 1e6, width / height
    assert area.min() > 0.079 and area.max() <= 1
    assert ratio.min() == pytest.approx(3 / 4, abs=0.01) and ratio.max() == pytest.approx(4 / 3, abs=0.01)
    assert abs(np.log(ratio).mean()) < 0.01  # a standard error is 0.0026
    # Below 3/4 every ratio fits: the area is uniform there.
    small = area[area < 0.7]
    assert small.mean() == pytest.approx((0.08 + 0.7) / 2, abs=0.015)
    assert np.mean(top / (1000 - height + 1)) == pytest.approx(0.5, abs=0.03)
    assert np.mean(left / (1000 - width + 1)) == pytest.approx(0.5, abs=0.03)


def test_half_of_the_views_are_mirrored():
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (200, 200, 3))
    views = [augmentation.training_view(ramp, 8, augmentation.uniforms(2, p)) for p in range(400)]
    assert all(view.shape == (8, 8, 3) and view.dtype == np.uint8 for view in views)
    mirrored = [int(view[0, 0, 0]) > int(view[0, -1, 0]) for view in views]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.1)


def test_noise_is_a_function_of_seed_and_position():
    noise = augmentation.uniforms(3, 10)
    np.testing.assert_array_equal(noise, augmentation.uniforms(3, 10))
    assert noise.min() >= 0 and noise.max() < 1
    assert not np.intersect1d(noise, augmentation.uniforms(3, 11)).size
    assert not np.intersect1d(noise, augmentation.uniforms(4, 10)).size
    # Fixed for good, so that a run resumed with another numpy goes on with the same crops.
    np.testing.assert_allclose(noise[:2], [0.40626700482756806, 0.3897689824325973], rtol=1e-15)


def test_validation_views():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = 255
    whole = augmentation.validation_view(image, 32, eval_crop=False)
    assert whole.shape == (32, 32, 3) and whole[:, :15].max() == 0 and whole[:, 17:].min() == 255
    image[:, :55] = image[:, 145:] = 128  # outside the middle
    middle = augmentation.validation_view(image, 224, eval_crop=True)
    assert middle.shape == (224, 224, 3) and not np.any(middle == 128)
    # The shorter side becomes 256 pixels, so 224 of them are 87.5 of the 100 rows: columns 56 to 144 of the image.
    assert middle[:, :111].max() == 0 and middle[:, 113:].min() == 255
    assert augmentation.validation_view(image[:3, :2], 32, eval_crop=True).shape == (32, 32, 3)
