"""What the demo prints with: headings, plain lines, and one moving line where there is a terminal."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table

_LINE_EVERY_S: Final = 2.0


class Moving(Protocol):
    """A line that is shown again and again with what is newest."""

    def __call__(self, text: str) -> None:
        """Show this now."""
        ...


class Screen:
    """The demo's output; `NO_COLOR` and pipes get plain text."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, emoji=False)
        self._headings = 0

    def title(self, text: str) -> None:
        """The first line."""
        self._line(f"[bold]{escape(text)}[/bold]")

    def heading(self, text: str) -> None:
        """A numbered heading."""
        self._headings += 1
        self._line("")
        self._line(f"[bold cyan]{self._headings}. {escape(text)}[/bold cyan]")

    def say(self, text: str) -> None:
        """A line of what was measured or is being done."""
        self._line(f"   {escape(text)}")

    def good(self, text: str) -> None:
        """A line that says that something is as it must be."""
        self._line(f"   [green]{escape(text)}[/green]")

    def bad(self, text: str) -> None:
        """A line that says that something is not as it must be."""
        self._line(f"   [bold red]{escape(text)}[/bold red]")

    def command(self, text: str) -> None:
        """A command that runs now."""
        self._line(f"   [dim]$[/dim] [bold]{escape(text)}[/bold]")

    def quote(self, text: str) -> None:
        """The output of a command, or lines of a log."""
        for line in text.splitlines():
            self._line(f"     [dim]{escape(line)}[/dim]")

    def yaml(self, text: str) -> None:
        """A configuration file."""
        if self._console.is_terminal and not self._console.no_color:
            code = Syntax(text.rstrip(), "yaml", theme="ansi_dark", background_color="default")
            self._console.print(Padding(code, (0, 0, 0, 5)))
        else:
            self.quote(text)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under heads; every column but the first is aligned to the right."""
        made = Table(box=None, pad_edge=False, header_style="dim")
        for place, head in enumerate(heads):
            made.add_column(head, justify="right" if place else "left", no_wrap=True)
        for row in rows:
            made.add_row(*map(escape, row))
        self._console.print(Padding(made, (0, 0, 0, 3)))

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and what was measured."""
        width = max(len(name) for name, _ in rows) + 2
        for name, value in rows:
            self._line(f"   [dim]{escape(name):{width}}[/dim]{escape(value)}")

    @contextlib.contextmanager
    def moving(self) -> Iterator[Moving]:
        """A moving line on a terminal; elsewhere a line now and then."""
        if self._console.is_terminal:
            with self._console.status("") as status:
                yield lambda text: status.update(f"[dim]{escape(text)}[/dim]")
            return
        shown_s = time.monotonic()

        def show(text: str) -> None:
            nonlocal shown_s
            if time.monotonic() - shown_s >= _LINE_EVERY_S:
                shown_s = time.monotonic()
                self.say(text)

        yield show

    def _line(self, markup: str) -> None:
        self._console.print(markup, soft_wrap=True)
