"""Drawn glyphs: classes that differ clearly, images that are a function of class and key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import keys
from maxrl_jax.vision import glyphs
from maxrl_jax.vision.glyphs import digits, procedural, rendering, strokes

render = jax.jit(glyphs.render, static_argnames="image_size")


@pytest.fixture(scope="module")
def thousand():
    return glyphs.make_strokes(jax.random.key(0), 1000)


def unit(images):
    """Rows of zero mean and unit length, whose products are cosines."""
    rows = np.asarray(images).reshape(len(images), -1)
    rows = rows - rows.mean(-1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def largest_cosine(images):
    rows = unit(images)
    return np.max(rows @ rows.T - 2 * np.eye(len(rows)))


def nearest_mean_accuracy(classes, labels, train_keys, test_key):
    """Accuracy of the nearest class mean at 16 x 16; labels are 0, 1, ..., once or several times."""
    train = np.mean([np.asarray(render(classes, labels, key, image_size=16)) for key in train_keys], axis=0)
    means = train.reshape(-1, classes.num_classes, 16 * 16).mean(0)
    test = render(classes, labels, test_key, image_size=16)
    return np.mean((unit(test) @ unit(means).T).argmax(1) == np.asarray(labels))


def test_classes_are_a_function_of_the_key_and_fewer_are_the_first_of_more(thousand):
    again = glyphs.make_strokes(jax.random.key(0), 300)
    np.testing.assert_array_equal(again.points, thousand.points[:300])
    np.testing.assert_array_equal(again.present, thousand.present[:300])
    other = glyphs.make_strokes(jax.random.key(1), 20)
    assert not np.any(np.all(np.asarray(other.points) == np.asarray(thousand.points[:20]), axis=(1, 2, 3)))


def test_a_thousand_classes_differ(thousand):
    assert thousand.points.shape == (1000, procedural.MAX_STROKES, procedural.NUM_POINTS, 2)
    points = np.asarray(thousand.points)
    assert points.min() > 0 and points.max() < 1
    assert largest_cosine(render(thousand, jnp.arange(1000), jax.random.key(0), image_size=16, jitter=0.0)) < 0.9
    # As they were compared when they were chosen, also one moved by a pixel; equal pictures have 1.
    blurred = procedural._blurred(points.astype(np.float64), np.asarray(thousand.present))
    for moved in range(blurred.shape[1]):
        cosines = blurred[:, moved] @ blurred[:, 0].T
        # The earlier of two is not moved.
        assert np.max(np.tril(cosines, -1)) <= procedural.MAX_COSINE + 1e-4


def test_held_out_jitter_is_recognisable_and_different(thousand):
    labels = jnp.arange(1000)
    images = render(thousand, labels, keys.stream(3, "images", 0), image_size=16)
    held_out = render(thousand, labels, keys.stream(3, "validation", 0), image_size=16)
    assert not np.any(np.all(np.asarray(images) == np.asarray(held_out), axis=(1, 2, 3)))
    train_keys = [keys.stream(3, "images", step) for step in range(8)]
    accuracy = nearest_mean_accuracy(thousand, labels, train_keys, keys.stream(3, "validation", 0))
    assert 0.4 < accuracy < 0.95  # chance is 0.001, and a stand-in that means solve teaches nothing


def test_images_are_a_function_of_label_and_key():
    classes = glyphs.make_strokes(jax.random.key(2), 8)
    labels, key = jnp.array([3, 1, 4, 1, 5, 7, 2, 6]), jax.random.key(5)
    images = np.asarray(render(classes, labels, key, image_size=12))
    assert images.shape == (8, 12, 12, 1) and images.dtype == np.float32
    assert images.min() == 0 and 0.9 < images.max() <= 1
    assert np.all(images.max(axis=(1, 2, 3)) > 0.5)  # ink in every one
    np.testing.assert_allclose(render(classes, labels[:3], key, image_size=12), images[:3], atol=1e-5)
    by_keys = jax.jit(glyphs.render_from_keys, static_argnums=3)(
        classes, labels[2:4], glyphs.image_keys(key, 8)[2:4], 12
    )
    np.testing.assert_allclose(by_keys, images[2:4], atol=1e-5)
    assert np.abs(images[1] - images[3]).max() > 0.3  # the same class, another jitter
    other = render(classes, labels, jax.random.key(6), image_size=12)
    assert np.abs(other - images).max(axis=(1, 2, 3)).min() > 0.1
    still = render(classes, labels, key, image_size=12, jitter=0.0)
    np.testing.assert_array_equal(still[1], still[3])
    np.testing.assert_array_equal(still, render(classes, labels, jax.random.key(6), image_size=12, jitter=0.0))


def test_pixels_are_their_distance_to_the_strokes():
    """Against the distance to thousands of points along each segment."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0.1, 0.9, (1, 2, 4, 2)).astype(np.float32)
    classes = strokes.Strokes(jnp.asarray(points), jnp.ones((1, 2), bool))
    size = 24
    image = render(classes, jnp.zeros(1, jnp.int32), jax.random.key(0), image_size=size, jitter=0.0)[0, :, :, 0]
    t = np.linspace(0, 1, 2000)[:, None, None, None]
    dense = ((1 - t) * points[0, :, :-1] + t * points[0, :, 1:]).reshape(-1, 2)
    y, x = np.mgrid[:size, :size] / size + 0.5 / size
    distance = np.sqrt(np.min((x[..., None] - dense[:, 0]) ** 2 + (y[..., None] - dense[:, 1]) ** 2, axis=-1))
    np.testing.assert_allclose(image, np.clip((rendering.HALF_WIDTH - distance) * size + 0.5, 0, 1), atol=2e-3)
    nothing = strokes.Strokes(jnp.asarray(points), jnp.array([[True, False]]))
    half = render(nothing, jnp.zeros(1, jnp.int32), jax.random.key(0), image_size=size, jitter=0.0)
    assert 0 < half.sum() < image.sum()


def test_jitter_is_bounded_and_scales():
    """A dot in the middle moves by the shifts of its stroke and of the glyph, no more; half the jitter, half of it."""
    dot = strokes.pack([[np.full((1, 2), 0.5), np.full((1, 2), 0.5)]], 2, 1.0)
    middle, size = jnp.zeros(200, jnp.int32), 32
    centre = (np.arange(size) + 0.5) / size - 0.5
    moved = {}
    for jitter in (1.0, 0.5):
        ink = np.asarray(render(dot, middle, jax.random.key(1), image_size=size, jitter=jitter))[..., 0]
        moved[jitter] = (ink * centre).sum((1, 2)) / ink.sum((1, 2))
    assert np.abs(moved[1.0]).max() < 0.11 and np.abs(moved[1.0]).max() > 0.06
    assert moved[0.5].std() == pytest.approx(moved[1.0].std() / 2, rel=0.1)
    assert abs(moved[1.0].mean()) < 0.01


def test_digits_differ_clearly():
    classes = digits.strokes()
    assert classes.num_classes == digits.NUM_CLASSES == 10
    labels = jnp.tile(jnp.arange(10), 20)
    assert largest_cosine(render(classes, labels, jax.random.key(0), image_size=16, jitter=0.0)[:10]) < 0.9
    assert nearest_mean_accuracy(classes, labels, [jax.random.key(1)], jax.random.key(2)) > 0.6  # chance is 0.1


def test_more_classes_than_differ_are_refused(monkeypatch):
    monkeypatch.setattr(procedural, "MAX_COSINE", 0.1)
    with pytest.raises(ValueError, match=r"num_classes: got 500, allowed: at most \d+ differ"):
        glyphs.make_strokes(jax.random.key(0), 500)
