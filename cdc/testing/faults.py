"""Calls between a loop and its parts: counted, refused, held, slowed, or crashed at one step.

A crash is what SIGKILL does: after it no call of the crashed process has any effect, `close`
included.
"""

from collections.abc import Callable, Iterator
from typing import Literal, TypeVar, cast

from cdc.errors import TransientError
from cdc.lifecycle import Clock

Action = Literal["work", "reject", "fail after", "hold", "slow"]
"""Do it; raise TransientError instead; do it, then raise; False after the timeout; do it late."""

PartT = TypeVar("PartT")


class Crash(BaseException):
    """The process is dead. Not an Exception: nothing may handle it."""


class Faults:
    """One script for all parts of a process.

    Each call has two steps, before and behind it, numbered from 1 over all lives of the process;
    `crash_at` is the step that kills. `actions` gives the next action by `part.method`.
    `slow_s` is how long a slow call takes. `on_step` runs at each step: what others do meanwhile.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        crash_at: int | None = None,
        actions: dict[str, Iterator[Action]] | None = None,
        slow_s: float = 2.0,
        on_step: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._actions = actions or {}
        self._slow_s = slow_s
        self._on_step = on_step
        self.crash_at = crash_at
        self.crashed = False
        self.steps = 0
        self.calls: list[str] = []

    def restart(self) -> None:
        """Begin a new life; it does not crash again unless `crash_at` lies ahead."""
        self.crashed = False

    def step(self) -> None:
        """One step. Raises Crash when it is the fatal one, or when the process is dead already."""
        if self.crashed:
            raise Crash
        self.steps += 1
        if self.steps == self.crash_at:
            self.crashed = True
            raise Crash
        if self._on_step is not None:
            self._on_step()

    def watch(self, name: str, part: PartT) -> PartT:
        """The same part, with every call to it under this script."""
        return cast("PartT", _Watched(self, name, part))

    def call(
        self, name: str, function: Callable[..., object], arguments: tuple[object, ...]
    ) -> object:
        """One call, with its two steps and its action."""
        self.step()
        self.calls.append(name)
        action = next(self._actions.get(name, iter(())), "work")
        if action == "reject":
            raise TransientError(f"{name} was refused by the script")
        if action == "hold":
            timeout_s = arguments[-1]
            assert isinstance(timeout_s, float), "only a timed call can be held"
            self._clock.sleep_s(timeout_s)
            return False
        if action == "slow":
            self._clock.sleep_s(self._slow_s)
        result = function(*arguments)
        self.step()
        if action == "fail after":
            raise TransientError(f"{name} failed after it worked, by the script")
        return result


class _Watched:
    def __init__(self, faults: Faults, name: str, part: object) -> None:
        self._faults = faults
        self._name = name
        self._part = part

    def __getattr__(self, attribute: str) -> object:
        value = getattr(self._part, attribute)
        if not callable(value):
            return value
        return lambda *arguments: self._faults.call(f"{self._name}.{attribute}", value, arguments)
