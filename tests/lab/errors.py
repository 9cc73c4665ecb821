"""What can go wrong in the lab, each with one line for the reader."""


class LabError(Exception):
    """A server of the lab did not do what it should; the message holds the end of its log."""


class AddressInUse(LabError):
    """A port was taken between being chosen and being bound; a start with fresh ports helps."""


class Unavailable(Exception):
    """A server or tool cannot be had on this machine.

    `reason` says what is missing, `install` what the reader can do about it; `str()`
    gives both on one line.
    """

    def __init__(self, reason: str, install: str) -> None:
        self.reason = " ".join(reason.split())
        self.install = " ".join(install.split())
        super().__init__(f"{self.reason}; {self.install}")
