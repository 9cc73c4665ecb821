"""Whom servers run as: some refuse root, so under root they run as the account `nobody`."""

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import Unavailable

_ACCOUNT = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """The account a server runs under; both numbers are None for the account of this process."""

    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Make the account the owner of one file or folder."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def server_account() -> Account:
    """Return this process's own account, or `nobody` when this process is root.

    Raises Unavailable if root has no such account to give its servers.
    """
    if os.geteuid() != 0:
        return Account()
    try:
        entry = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        raise Unavailable(
            f"running as root, and there is no account `{_ACCOUNT}` for servers that refuse root",
            f"create the account `{_ACCOUNT}` or run as an ordinary user",
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def readable_tree(tree: Path, account: Account, folder: Path) -> Path:
    """Return `tree` if the account can reach it, else a copy of it below `folder`.

    A virtual environment below root's home is the usual reason for a copy.
    """
    if account.uid is None or _reachable(tree):
        return tree
    copy = folder / f"copy-of-{tree.name}"
    shutil.copytree(tree, copy, symlinks=True)
    copy.chmod(0o755)
    return copy


def _reachable(path: Path) -> bool:
    """Tell whether every user may list `path` and pass through all folders above it."""
    real = path.resolve()
    if real.stat().st_mode & (stat.S_IXOTH | stat.S_IROTH) != stat.S_IXOTH | stat.S_IROTH:
        return False
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents)
