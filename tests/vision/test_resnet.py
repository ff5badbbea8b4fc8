"""ResNet v1.5: the published sizes, and its parts' properties on networks of a few hundred parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maxrl_jax.vision import resnet
from maxrl_jax.vision.resnet.layers import Block, ConvNorm

SMALL = resnet.Config(depth=8, width=4, stem="stride2", num_classes=5, channels=1)


def images(count, size=8, seed=0):
    return jax.random.normal(jax.random.key(seed), (count, size, size, 1))


@pytest.fixture(scope="module")
def small():
    """(network, parameters, batch statistics) of the small one."""
    network = resnet.Network.make(SMALL)
    return network, *jax.jit(network.init)(jax.random.key(0))


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11_689_512), (50, 25_557_032)])
def test_the_published_number_of_parameters(depth, parameters):
    network = resnet.Network.make(resnet.Config(depth=depth), jnp.bfloat16)
    params, stats = jax.eval_shape(network.init, jax.random.key(0))
    assert size(params) == parameters
    assert {leaf.dtype for leaf in jax.tree.leaves((params, stats))} == {jnp.dtype("float32")}
    logits, _ = jax.eval_shape(network.train, params, stats, jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32))
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_new_block_passes_its_input_on(bottleneck):
    """The last scale of the branch is 0, so relu(x + branch(x)) = relu(x), whatever the branch would say."""
    features = 4 if bottleneck else 8
    block = Block(
        4 * features if bottleneck else features,
        features, 1, bottleneck, SMALL, dtype=jnp.float32, rngs=nnx.Rngs(0),
    )  # fmt: skip
    x = jax.random.normal(jax.random.key(1), (2, 3, 3, 4 * features if bottleneck else features))
    np.testing.assert_array_equal(block(x, train=True), jax.nn.relu(x))
    block.branch[-1].norm.scale[...] = jnp.ones_like(block.branch[-1].norm.scale[...])
    assert not np.allclose(block(x, train=True), jax.nn.relu(x), atol=1e-2)


def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution():
    block = Block(8, 4, 2, True, SMALL, dtype=jnp.float32, rngs=nnx.Rngs(0))
    assert [(layer.conv.kernel_size[0], layer.conv.strides[0]) for layer in block.branch] == [(1, 1), (3, 2), (1, 1)]
    assert block(jnp.ones((1, 6, 6, 8)), train=False).shape == (1, 3, 3, 16)


def test_batch_statistics_are_the_batchs():
    """One layer against the formulas: normalised by the batch, then 0.9 of the old statistics and 0.1 of the new."""
    layer = ConvNorm((1, 3), 1, 1, SMALL, dtype=jnp.float32, rngs=nnx.Rngs(0))
    x = 2 + 3 * images(6)
    y = layer.conv(x)
    out = layer(x, train=True)
    mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
    np.testing.assert_allclose(out, (y - mean) / jnp.sqrt(variance + SMALL.epsilon), atol=1e-4)
    np.testing.assert_allclose(layer.norm.mean[...], 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.norm.var[...], 0.9 + 0.1 * variance, rtol=1e-4)
    again = layer(x, train=False)
    expected = (y - layer.norm.mean[...]) / jnp.sqrt(layer.norm.var[...] + SMALL.epsilon)
    np.testing.assert_allclose(again, expected, atol=1e-4)


def test_training_moves_statistics_that_predicting_reads(small):
    network, params, stats = small
    before = jax.tree.map(np.asarray, stats)
    logits, moved = jax.jit(network.train)(params, stats, images(4))
    # The arguments are as they were: statistics are a result, not an effect.
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(stats), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(stats), strict=True))
    predict = jax.jit(network.predict)
    assert not np.allclose(predict(params, stats, images(4)), predict(params, moved, images(4)))
    assert logits.shape == (4, 5)


def test_gradients_pass_through_the_statistics_and_reach_every_parameter(small):
    """Batch normalisation takes scale and shift out of the images, so the loss may not depend on them."""
    network, params, stats = small
    # Zero scales hide the branches: give every parameter something to do.
    params = jax.tree.map(lambda p: p + 0.1, params)

    @jax.jit
    def gradients(x):
        def loss(params):
            logits, new = network.train(params, stats, x)
            return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - logits[:, 0]), new

        return jax.value_and_grad(loss, has_aux=True)(params)

    (value, _), gradient = gradients(images(6))
    assert all(float(jnp.max(jnp.abs(leaf))) > 0 for leaf in jax.tree.leaves(gradient))
    (scaled, _), _ = gradients(10 * images(6))
    assert float(scaled) == pytest.approx(float(value), abs=1e-3)


def test_bfloat16_agrees_with_float32(small):
    network, params, stats = small
    half = resnet.Network.make(SMALL, jnp.bfloat16)
    x = images(8)
    whole, stats_whole = jax.jit(network.train)(params, stats, x)
    coarse, stats_coarse = jax.jit(half.train)(params, stats, x)
    assert coarse.dtype == jnp.float32
    # Eight bits: relative errors of 2^-8 in each of the layers.
    assert float(jnp.max(jnp.abs(whole - coarse))) < 0.05 * float(jnp.max(jnp.abs(whole)))
    assert not np.array_equal(whole, coarse)
    for a, b in zip(jax.tree.leaves(stats_whole), jax.tree.leaves(stats_coarse), strict=True):
        assert b.dtype == jnp.float32
        np.testing.assert_allclose(a, b, atol=0.05)


@pytest.mark.parametrize(("fields", "word"), [({"depth": 9}, "depth"), ({"stem": "big"}, "stem")])
def test_impossible_shapes_are_named(fields, word):
    with pytest.raises(ValueError, match=f"^{word}: got .* allowed"):
        resnet.Config(**fields)
    assert (resnet.Config().smallest_image, SMALL.smallest_image) == (32, 8)


def test_the_stem_of_imagenet_pools_the_largest_of_three_by_three():
    """A 224-pixel image leaves the stem with 56; the pool's gradient goes to the largest pixel alone."""
    network = resnet.Network.make(resnet.Config(depth=18, width=2, num_classes=3), jnp.bfloat16)
    params, stats = jax.eval_shape(network.init, jax.random.key(0))

    def gradient(params, stats, images):
        return jax.grad(lambda p: network.train(p, stats, images)[0].sum())(params)

    traced = jax.make_jaxpr(gradient)(params, stats, jnp.zeros((1, 224, 224, 3)))
    text = str(traced)
    assert "reduce_window_max" in text and "select_and" in text  # and not a reduction without a gradient
    assert "bf16[1,112,112,2]" in text and "bf16[1,56,56,2]" in text and "bf16[1,7,7,16]" in text
