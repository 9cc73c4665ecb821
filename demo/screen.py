"""What the demo prints with: headings, plain lines, and a moving one where there is a terminal."""

import contextlib
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table

_LINE_EVERY_S: Final = 3.0
_TEXT_COLUMNS: Final = 2
_WIDTH_MIN: Final = 60
_SPINNER_WIDTH: Final = 3


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
        for line in self._wrapped(text, 3):
            self._line(escape(line))

    def good(self, text: str) -> None:
        """A line that says that something is as it must be."""
        for line in self._wrapped(text, 3):
            self._line(f"[green]{escape(line)}[/green]")

    def bad(self, text: str) -> None:
        """A line that says that something is not as it must be."""
        for paragraph in text.splitlines():
            for line in self._wrapped(paragraph, 3):
                self._line(f"[bold red]{escape(line)}[/bold red]")

    def command(self, text: str) -> None:
        """A command that runs now."""
        self._line(f"   [dim]$[/dim] [bold]{escape(text)}[/bold]")

    def quote(self, text: str) -> None:
        """The output of a command, or lines of a log."""
        for paragraph in text.splitlines():
            own = len(paragraph) - len(paragraph.lstrip())
            for line in self._wrapped(paragraph.lstrip(), 5 + own):
                self._line(f"[dim]{escape(line)}[/dim]")

    def yaml(self, text: str) -> None:
        """A configuration file."""
        if self._console.is_terminal and not self._console.no_color:
            code = Syntax(text.rstrip(), "yaml", theme="ansi_dark", background_color="default")
            self._console.print(Padding(code, (0, 0, 0, 5)))
        else:
            self.quote(text)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under heads; all columns but the first two hold numbers."""
        made = Table(box=None, pad_edge=False, header_style="dim")
        for place, head in enumerate(heads):
            made.add_column(
                head, justify="left" if place < _TEXT_COLUMNS else "right", no_wrap=True
            )
        for row in rows:
            made.add_row(*map(escape, row))
        self._console.print(Padding(made, (0, 0, 0, 3)))

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and what was measured."""
        made = Table(box=None, pad_edge=False, show_header=False)
        made.add_column(style="dim", no_wrap=True)
        made.add_column()
        for row in rows:
            made.add_row(*map(escape, row))
        self._console.print(Padding(made, (0, 0, 0, 3)))

    @contextlib.contextmanager
    def moving(self) -> Iterator[Moving]:
        """A moving line on a terminal; elsewhere a line now and then."""
        if self._console.is_terminal:
            with self._console.status("") as status:
                width = max(self._console.width, _WIDTH_MIN) - _SPINNER_WIDTH
                yield lambda text: status.update(
                    f"[dim]{escape(textwrap.shorten(text, width, placeholder='...'))}[/dim]"
                )
            return
        shown_s = time.monotonic()

        def show(text: str) -> None:
            nonlocal shown_s
            if time.monotonic() - shown_s >= _LINE_EVERY_S:
                shown_s = time.monotonic()
                self.say(text)

        yield show

    def _wrapped(self, text: str, indent: int) -> list[str]:
        """The text as lines that fit, each behind so many spaces; an empty text is one line."""
        margin = " " * indent
        lines = textwrap.wrap(
            text,
            max(self._console.width, _WIDTH_MIN),
            initial_indent=margin,
            subsequent_indent=margin,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return lines or [""]

    def _line(self, markup: str) -> None:
        self._console.print(markup, soft_wrap=True)
