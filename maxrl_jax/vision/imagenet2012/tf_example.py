"""tf.train.Example without TensorFlow: the few lines of protocol buffers that a record of images needs.

    message Example  { Features features = 1; }            message Feature { oneof: BytesList bytes_list = 1;
    message Features { map<string, Feature> feature = 1; }                          FloatList float_list = 2;
                                                                                    Int64List int64_list = 3; }

Every list has one repeated field, number 1. A map is a repeated message with key = 1 and value = 2. Worker processes
import this module alone, which starts faster and depends on less than a protocol buffer library.
"""

from collections.abc import Iterator, Mapping

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _INT64_LIST = 1, 3


def encode(features: Mapping[str, bytes | int]) -> bytes:
    """Serialises one value for each feature, bytes or a 64-bit integer, in the order of the names."""
    entries = b""
    for name in sorted(features):
        value = features[name]
        if isinstance(value, bytes):
            feature = _message(_BYTES_LIST, _message(1, value))
        else:
            # Packed, as proto3 writes repeated integers; negative ones are 64-bit two's complement.
            feature = _message(_INT64_LIST, _message(1, _varint(value & (1 << 64) - 1)))
        entries += _message(1, _message(1, name.encode()) + _message(2, feature))
    return _message(1, entries)


def decode(record: bytes) -> dict[str, list[bytes] | list[int]]:
    """The features of bytes and of integers of a serialised tf.train.Example, by name; others are left out.

    Raises:
        ValueError: the record is not a tf.train.Example.
    """
    found: dict[str, list[bytes] | list[int]] = {}
    for features in _submessages(record):
        for entry in _submessages(features):
            name, feature = "", b""
            for number, value in _fields(entry):
                if number == 1 and isinstance(value, bytes):
                    name = value.decode()
                elif number == 2 and isinstance(value, bytes):
                    feature = value
            for kind, values in _fields(feature):
                if kind == _BYTES_LIST and isinstance(values, bytes):
                    found[name] = _submessages(values)
                elif kind == _INT64_LIST and isinstance(values, bytes):
                    found[name] = _integers(values)
    return found


def _submessages(message: bytes) -> list[bytes]:
    return [value for number, value in _fields(message) if number == 1 and isinstance(value, bytes)]


def _integers(message: bytes) -> list[int]:
    """Repeated varints, packed into one field or each in its own."""
    integers: list[int] = []
    for number, value in _fields(message):
        if number != 1:
            continue
        if isinstance(value, int):
            integers.append(value)
            continue
        position = 0
        while position < len(value):
            integer, position = _read_varint(value, position)
            integers.append(integer)
    return [i - (1 << 64) if i >> 63 else i for i in integers]


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(number, value) of each field of a message."""
    position, end = 0, len(message)
    while position < end:
        tag, position = _read_varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _read_varint(message, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _read_varint(message, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("not a tf.train.Example: an unknown kind of field")
        if position + size > end:
            raise ValueError("not a tf.train.Example: it ends in the middle of a field")
        yield number, message[position : position + size]
        position += size


def _message(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position after it)."""
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("not a tf.train.Example: a number without an end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
