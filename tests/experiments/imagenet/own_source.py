"""Images of a user's own, named in configs as tests.experiments.imagenet.own_source:stripes."""

import numpy as np

from maxrl_jax.vision import arrays

_size, _rng = 16, np.random.default_rng(0)
_labels = np.arange(40) % 2
_images = np.where(_labels[:, None, None, None], np.indices((_size, _size))[0][..., None] % 2, 0.5)
_images = np.broadcast_to(_images, (40, _size, _size, 1)) + 0.1 * _rng.normal(size=(40, _size, _size, 1))

stripes = arrays.source(_images[:30], _labels[:30], _images[30:], _labels[30:])
not_a_source = 3
