"""The page's table for the terminal, plain where the output is not one."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.analysis.frames import Frames
from bench.analysis.summary import Summary
from bench.report import findings

ROLES = {"trap": "red", "fix": "blue"}

NARROW = 132
"""Columns of a terminal below which the table leaves out what the page still has."""

VALUE_WIDTH = 12
"""Room for 19.88 ± 0.29 on one line."""

ESSENTIAL = ("req/s", "p50", "health p50", "health > 1 s", "failures")


@dataclass(frozen=True)
class ScenarioTable:
    """A scenario's table as a rich renderable: ``Console().print(ScenarioTable.of(frames, summary))``."""

    title: str
    rows: tuple[findings.Row, ...]

    @classmethod
    def of(cls, frames: Frames, summary: Summary) -> ScenarioTable:
        """The table of one scenario."""
        return cls(findings.throughput_title(frames, summary), findings.table(frames, summary))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """All columns where there is room, else the essential ones."""
        wide = options.max_width >= NARROW
        columns = findings.COLUMNS if wide else ESSENTIAL
        table = Table(title=Text(self.title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("variant", overflow="ellipsis", no_wrap=True)
        for column in columns:
            table.add_column(
                column, justify="right", overflow="fold", min_width=VALUE_WIDTH if column == "req/s" else None
            )
        for row in self.rows:
            cells = dict(zip(findings.COLUMNS, row.cells, strict=True))
            name = Text(row.variant, style=ROLES.get(row.role, ""))
            # Text, not str: square brackets in a name are not rich's markup.
            table.add_row(name, *(Text(cells[column].text) for column in columns))
        yield table
