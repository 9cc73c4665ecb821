"""Who uses a state folder, and that nobody else can look into it."""

import errno
import os
from pathlib import Path

import pytest

from cdc.errors import ConfigError, StorageFull
from cdc.state_dir import (
    AlreadyRunning,
    Claim,
    make_private,
    private_folder,
    socket_path,
    socket_paths,
)
from tests.unit.cdc.logs.as_nobody import forbidden


def test_folders_are_private_at_every_level(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "state", "sinks", "cache")

    assert folder == tmp_path / "state" / "sinks" / "cache"
    for path in (folder, folder.parent, folder.parent.parent):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)

    make_private(folder)

    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")

    with pytest.raises(ConfigError, match=r"cannot use .*state: .*Set state_dir"):
        make_private(tmp_path / "state")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o500)

    with pytest.raises(ConfigError, match=r"cannot use .*: permission denied"):
        make_private(folder / "below")


def test_a_name_is_claimed_once_and_the_owner_is_named(tmp_path: Path) -> None:
    with (
        Claim(tmp_path, ["shop", "cache"]),
        pytest.raises(AlreadyRunning, match=f'"shop" is already running as pid {os.getpid()}'),
    ):
        Claim(tmp_path, ["shop"])


def test_other_names_are_free(tmp_path: Path) -> None:
    with Claim(tmp_path, ["shop"]), Claim(tmp_path, ["cache"]):
        pass


def test_a_claim_that_fails_holds_nothing(tmp_path: Path) -> None:
    with Claim(tmp_path, ["b"]):
        with pytest.raises(AlreadyRunning):
            Claim(tmp_path, ["a", "b"])

        with Claim(tmp_path, ["a"]):
            pass


def test_a_claim_ends_when_it_is_closed(tmp_path: Path) -> None:
    claim = Claim(tmp_path, ["shop"])
    claim.close()
    claim.close()

    with Claim(tmp_path, ["shop"]):
        pass


def test_sockets_are_named_by_what_they_were_narrowed_to(tmp_path: Path) -> None:
    whole, part = socket_path(tmp_path), socket_path(tmp_path, ["b", "a"])
    for path in (part, whole):
        path.write_text("")

    assert (whole.name, part.name) == ("cdc.sock", "cdc.a.b.sock")
    assert socket_paths(tmp_path) == [whole, part]


def test_a_folder_that_this_user_may_not_write_is_named(tmp_path: Path) -> None:
    folder = make_private(tmp_path / "state")

    with forbidden(tmp_path), pytest.raises(ConfigError, match=r"permission denied.*Set state_dir"):
        make_private(folder)


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    with pytest.raises(ConfigError, match=r"cannot use .*: permission denied"):
        make_private(tmp_path)


def test_a_claim_that_cannot_be_made_is_named_and_frees_the_others(tmp_path: Path) -> None:
    (private_folder(tmp_path, "claims") / "b.lock").mkdir()

    with pytest.raises(ConfigError, match=r"cannot use .*b\.lock: is a directory"):
        Claim(tmp_path, ["a", "b"])

    Claim(tmp_path, ["a"]).close()


def test_a_claim_on_a_full_disk_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)

    with pytest.raises(StorageFull, match=r"cannot write .*a\.lock: no space left"):
        Claim(tmp_path, ["a"])

    monkeypatch.undo()
    Claim(tmp_path, ["a"]).close()
