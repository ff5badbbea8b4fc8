"""tf.train.Example, the message of one record, by the protocol buffers of tensorflow-datasets, without TensorFlow."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2

_Example: Any = tf_example_pb2.Example  # type: ignore[attr-defined]


def encode(features: Mapping[str, bytes | int]) -> bytes:
    """Serialises one value for each feature, bytes or a 64-bit integer, in the order of the names."""
    example = _Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        (feature.bytes_list if isinstance(value, bytes) else feature.int64_list).value.append(value)
    return example.SerializeToString(deterministic=True)


def decode(record: bytes) -> dict[str, list[bytes] | list[int]]:
    """The features of bytes and of integers of a serialised tf.train.Example, by name; others come out empty.

    Raises:
        ValueError: the record is not a tf.train.Example.
    """
    try:
        features = _Example.FromString(record).features.feature
    except DecodeError:
        raise ValueError("not a tf.train.Example") from None
    return {name: list(f.bytes_list.value or f.int64_list.value) for name, f in features.items()}
