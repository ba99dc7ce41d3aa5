"""The page's tables for the terminal, plain where the output is not one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.analysis.analyse import Analysis
from bench.analysis.claims import ClaimVerdict
from bench.analysis.diagnosis import diagnosis
from bench.report.text import comparison_text, formatting, sentences
from bench.report.text.sentences import Cell, TableRow

ROLES = {"trap": "red", "fix": "blue"}
VERDICTS = {"confirmed": "green", "refuted": "bold red", "inconclusive": "yellow"}

NARROW = 180
"""Columns of a terminal below which the table leaves out what the page still has."""

ROOMY = 100
"""Columns below which headers, verdicts and diagnoses are broken over lines. A figure never is."""

SPLIT = 80
"""Columns below which only the columns of FEWEST have room: a split window."""


AGAINST, DIAGNOSIS = "verdict", "diagnosis"
COLUMNS = (*sentences.COLUMNS, AGAINST, DIAGNOSIS)
ESSENTIAL = ("req/s", "starved", "health p50", AGAINST, DIAGNOSIS)
FEWEST = ("req/s", "health p50", AGAINST)


@dataclass(frozen=True)
class ScenarioTable:
    """A scenario's table as a rich renderable: ``Console().print(ScenarioTable.of(analysis))``.

    Its rows are those of the page, with the other columns of COLUMNS.
    """

    title: str
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, analysis: Analysis) -> ScenarioTable:
        """The table of one scenario."""
        tables, summary = analysis.tables, analysis.summary
        shown = zip(tables.scenario.variants, sentences.table(tables, summary), strict=True)
        rows = tuple(replace(row, cells=(*row.cells, *_judgements(analysis, variant.name))) for variant, row in shown)
        return cls(sentences.throughput_title(tables, summary), rows, tuple(comparison_text.notes(analysis)))

    def cells(self, row: TableRow) -> dict[str, Cell]:
        """Its cells by column."""
        return dict(zip(COLUMNS, row.cells, strict=True))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """All columns where there is room, else fewer."""
        width = options.max_width
        columns = COLUMNS if width >= NARROW else ESSENTIAL if width >= SPLIT else FEWEST
        roomy = width >= ROOMY
        table = Table(
            title=Text(self.title),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=not roomy,
        )
        table.add_column("variant", overflow="ellipsis", no_wrap=True)
        for column in columns:
            if column in (AGAINST, DIAGNOSIS):
                table.add_column(column, no_wrap=roomy, overflow="fold")
            else:
                longest = max((len(self.cells(row)[column].text) for row in self.rows), default=0)
                header = column if roomy else column.replace(" ", "\n")
                table.add_column(header, justify="right", no_wrap=True, min_width=longest)
        for row in self.rows:
            cells = self.cells(row)
            name = Text(row.variant, style=ROLES.get(row.role, ""))
            # Text, not str: square brackets in a name are not rich's markup.
            table.add_row(name, *(Text(cells[column].text) for column in columns))
        yield table
        yield from (Text(note) for note in self.notes)


def _judgements(analysis: Analysis, variant: str) -> tuple[Cell, Cell]:
    """AGAINST and DIAGNOSIS."""
    found = diagnosis(analysis.tables, analysis.summary, variant)
    category = Cell(formatting.DASH, sentences.NO_TELEMETRY) if found is None else Cell(found.category)
    return comparison_text.against_baseline(analysis, variant), category


def claims_table(claims: Iterable[ClaimVerdict]) -> Table:
    """Every claim with its verdict, and the evidence of those that are not confirmed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Claims", title_justify="left")
    for column in ("verdict", "claim"):
        table.add_column(column, overflow="fold")
    for claim in claims:
        text = formatting.clean(claim.statement)
        if claim.verdict != "confirmed":
            text += f"\n{formatting.clean(claim.evidence)}"
        table.add_row(Text(claim.verdict, style=VERDICTS[claim.verdict]), Text(text))
    return table
