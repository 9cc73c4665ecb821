"""A headless Chromium: the machine's own, else Debian's, unpacked privately."""

import json
import platform
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.cache import is_filled
from tests.lab.debian import can_unpack, unpacked
from tests.lab.errors import Unavailable
from tests.lab.identity import Account
from tests.lab.ports import HOST
from tests.lab.process import Launch, RunFolder, ServerProcess

_SYSTEM_PROGRAMS = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
)
_PACKAGES = ("chromium-headless-shell", "fonts-dejavu-core")
_REMEDY = "install Chromium, such as the system package chromium-headless-shell or chromium"
_START_TIMEOUT_S = 60.0
_PROBE_TIMEOUT_S = 5.0
HEADLESS_FLAGS = (
    "--headless",
    "--disable-gpu",
    # Root and containers have no sandbox; the tests open pages of their own only.
    "--no-sandbox",
    # Containers give /dev/shm too little room.
    "--disable-dev-shm-usage",
    "--disable-crash-reporter",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--lang=en-US",
)
_FONTS = """\
<?xml version="1.0"?>
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>{tree}/usr/share/fonts</dir>
  <cachedir>{folder}/font-cache</cachedir>
</fontconfig>
"""


@dataclass(frozen=True, slots=True)
class ChromiumInstall:
    """A Chromium program; `tree` is the folder of its private libraries and fonts, if any."""

    program: Path
    origin: str
    tree: Path | None = None
    libraries: tuple[Path, ...] = field(default=())

    def environment(self, folder: Path) -> Mapping[str, str]:
        """Return the variables it needs, having written its font settings into `folder`."""
        if self.tree is None:
            return {}
        fonts = folder / "fonts.conf"
        fonts.write_text(_FONTS.format(tree=self.tree, folder=folder))
        return {
            "LD_LIBRARY_PATH": ":".join(map(str, self.libraries)),
            "FONTCONFIG_FILE": str(fonts),
        }


def find_chromium() -> ChromiumInstall:
    """Return the machine's own Chromium, else Debian's, which is downloaded when missing.

    Raises Unavailable if neither can be had.
    """
    for name in _SYSTEM_PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return ChromiumInstall(Path(found), f"system, {name}")
    if not can_unpack() and not is_filled(_tree_name()):
        raise Unavailable("no Chromium on this machine", _REMEDY)
    tree = unpacked(_PACKAGES, _tree_name())
    program = tree / "usr/lib/chromium/chromium-headless-shell"
    if not program.exists():
        raise Unavailable(f"the package {_PACKAGES[0]} brought no {program.name}", _REMEDY)
    # Libraries such as PulseAudio's lie in folders of their own below the usual ones.
    folders = {path.parent for path in tree.glob("**/lib/**/*.so*")} - {program.parent}
    libraries = tuple(sorted(folders, key=lambda path: (len(path.parts), str(path))))
    return ChromiumInstall(program, "Debian packages, unpacked privately", tree, libraries)


def chromium_state() -> str:
    """Return where Chromium is or will be from, without downloading; raises Unavailable."""
    for name in _SYSTEM_PROGRAMS:
        if shutil.which(name) is not None:
            return f"system, {name}"
    if is_filled(_tree_name()):
        return "Debian packages, in the cache"
    if can_unpack():
        return "Debian packages, not downloaded yet"
    raise Unavailable("no Chromium on this machine", _REMEDY)


class ChromiumServer:
    """A running headless Chromium that `tests.lab.browser.Browser` drives; close it at the end."""

    def __init__(self, install: ChromiumInstall, folder: RunFolder) -> None:
        """Start the program with an empty profile in `folder`."""
        self._folder = folder
        self._profile = folder.path / "profile"
        launch = Launch(
            name="Chromium",
            command=[
                str(install.program),
                *HEADLESS_FLAGS,
                # The browser chooses a free port itself and writes it into its profile.
                "--remote-debugging-port=0",
                f"--user-data-dir={self._profile}",
                "about:blank",
            ],
            probe=self._probe,
            timeout_s=_START_TIMEOUT_S,
            orphan_signal=signal.SIGKILL,
            environment={"TMPDIR": str(folder.path), **install.environment(folder.path)},
            hidden_prefixes=("DBUS_",),
        )
        self._process = ServerProcess(launch, folder)

    @classmethod
    def start(cls) -> Self:
        """Return a running browser.

        Raises Unavailable if there is none for this machine, LabError if it does not start.
        """
        install = find_chromium()
        folder = RunFolder("chromium", Account())
        try:
            return cls(install, folder)
        except BaseException:
            folder.close()
            raise

    @property
    def folder(self) -> Path:
        """The browser's own folder, which holds its profile and log."""
        return self._folder.path

    @property
    def is_running(self) -> bool:
        """Whether the browser runs."""
        return self._process.is_running

    @property
    def version(self) -> str:
        """Product and version, such as `HeadlessChrome/156.0.8078.79`."""
        return self._describe()["Browser"]

    @property
    def websocket_url(self) -> str:
        """The address for the browser's debugging protocol."""
        return self._describe()["webSocketDebuggerUrl"]

    def close(self) -> None:
        """End the browser and remove its folder; may be called twice."""
        try:
            # The profile goes next, so there is nothing for it to finish.
            self._process.kill()
        finally:
            self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _describe(self) -> dict[str, str]:
        port = (self._profile / "DevToolsActivePort").read_text().splitlines()[0]
        with urllib.request.urlopen(
            f"http://{HOST}:{port}/json/version", timeout=_PROBE_TIMEOUT_S
        ) as response:
            description: dict[str, str] = json.load(response)
        return description

    def _probe(self) -> str | None:
        try:
            self._describe()
        except (OSError, IndexError) as error:
            return f"no answer on its debugging port: {error}"
        return None


def _tree_name() -> str:
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "unknown")
    return f"chromium-{release}"
