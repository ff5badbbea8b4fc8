"""Records written and read without TensorFlow, against the protocol buffers of tensorflow-datasets."""

import pytest
from tensorflow_datasets.proto import tf_example_pb2

from maxrl_jax.vision.imagenet2012 import tf_example

FEATURES = {"image": bytes(range(256)) * 300, "file_name": b"n01440764_1.JPEG", "label": 999, "test": -1, "empty": b""}


def as_proto():
    proto = tf_example_pb2.Example()
    for name, value in FEATURES.items():
        feature = proto.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        else:
            feature.int64_list.value.append(value)
    proto.features.feature["score"].float_list.value.append(0.5)
    return proto


def test_what_is_written_is_read_by_others():
    proto = tf_example_pb2.Example.FromString(tf_example.encode(FEATURES))
    expected = as_proto()
    del expected.features.feature["score"]
    assert proto == expected


def test_what_others_write_is_read():
    assert tf_example.decode(as_proto().SerializeToString()) == {name: [value] for name, value in FEATURES.items()}


def test_integers_that_are_not_packed():
    unpacked = b"\x1a\x04\x08\x07\x08\x09"  # int64_list { value: 7 value: 9 }, a tag before each
    entry = b"\x0a\x01a\x12" + bytes([len(unpacked)]) + unpacked
    features = b"\x0a" + bytes([len(entry)]) + entry
    assert tf_example.decode(b"\x0a" + bytes([len(features)]) + features) == {"a": [7, 9]}


@pytest.mark.parametrize("cut", [1, 5, 60, -1])
def test_a_record_that_was_cut(cut):
    with pytest.raises(ValueError, match=r"not a tf\.train\.Example"):
        tf_example.decode(tf_example.encode(FEATURES)[:cut])
