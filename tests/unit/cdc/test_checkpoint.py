import pytest

from cdc.checkpoint import FORMAT_VERSION, Checkpoint, decode_part, encode_part
from cdc.errors import DecodeError


def test_merged_state_has_changed_parts_and_not_the_deleted_ones() -> None:
    stored = Checkpoint({"position": b"1", "snapshot:a": b"x"})

    merged = stored.merged(Checkpoint({"position": b"2", "snapshot:a": None, "sequence": b"9"}))

    assert merged == Checkpoint({"position": b"2", "sequence": b"9"})


def test_two_changes_in_a_row_keep_their_deletions() -> None:
    first = Checkpoint({"a": b"1", "b": None})

    assert first.then(Checkpoint({"a": None})) == Checkpoint({"a": None, "b": None})


def test_part_comes_back_as_it_was_stored() -> None:
    content = {"phase": "streaming", "lsn": "0/16B3748", "count": 3}

    assert content == decode_part("position", encode_part(content))


@pytest.mark.parametrize("stored", [b"", b"[]", b"{}", b"7", b"\xff", b'{"v":"1"}'])
def test_damaged_part_is_named(stored: bytes) -> None:
    with pytest.raises(DecodeError, match="'position'"):
        decode_part("position", stored)


def test_part_of_a_newer_tidewire_is_refused_with_the_remedy() -> None:
    newer = encode_part({}).replace(b'"v":%d' % FORMAT_VERSION, b'"v":%d' % (FORMAT_VERSION + 1))

    with pytest.raises(DecodeError, match="newer Tidewire"):
        decode_part("position", newer)
