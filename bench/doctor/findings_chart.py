"""The chart of what each endpoint costs the others: the health probe's response times while it is under load."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from bench.analysis.summary import Figure as SummaryFigure
from bench.doctor import findings_text
from bench.doctor.findings import DoctorReport, EndpointVerdict
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, FIXES, GRID, INK, TRAPS, ChartDrawing
from bench.report.text import formatting

ROW_IN = 0.3
MAX_ROWS = 60
"""A taller chart cannot be read. The worst endpoints are shown; the table has all of them."""


def cost_chart(report: DoctorReport) -> ChartDrawing | None:
    """The chart; None where no response time of the health probe is known."""
    shown = [verdict for verdict in report.verdicts if verdict.health.max is not None]
    if not shown:
        return None
    shown = sorted(shown, key=_typical_ms, reverse=True)[:MAX_ROWS]
    with canvas.chart_style():
        return canvas.rendered("doctor-cost", "doctor-cost", _figure(report, shown))


def _typical_ms(verdict: EndpointVerdict) -> float:
    known = verdict.health.p50 or verdict.health.max
    return known.value if known else 0.0


def _figure(report: DoctorReport, shown: list[EndpointVerdict]) -> Figure:
    figure = canvas.blank(2.0 + ROW_IN * len(shown))
    worst = _typical_ms(shown[0])
    title = _title(report, shown[0], worst)
    probed = formatting.clean(report.record.health_probe, 40)
    top_in = canvas.titled(figure, title, f"response time of {probed} · dot: median · line to: longest · ▸ at least")
    labels = [canvas.fit(formatting.clean(verdict.endpoint, 60), canvas.NAMES_IN) for verdict in shown]
    left_in = 0.35 + max(canvas.text_width_in(label, 11, False) for label in labels)
    axes = canvas.axes_in(figure, left_in=left_in, right_in=1.1, bottom_in=0.95, top_in=top_in + 0.1)
    for number, (verdict, label) in enumerate(zip(shown, labels, strict=True)):
        blamed = findings_text.is_blamed(report, verdict)
        axes.text(
            -0.02,
            number,
            label,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=11,
            weight="bold" if blamed else "normal",
        )
        _row(axes, number, verdict, TRAPS[0] if blamed else FIXES[0])
    if report.idle.p50 is not None:
        axes.axvline(report.idle.p50.value, color=FAINT, lw=1.2, ls="--", zorder=1)
    values = [known.value for v in shown for known in (v.health.p50, v.health.max) if known]
    values += [report.idle.p50.value] if report.idle.p50 else []
    canvas.time_axis(axes, "x", np.asarray(values, dtype=float))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.set_xlabel("log scale; dashed: its median while the app is idle")
    handles = [
        Line2D([], [], color=TRAPS[0], marker="o", label="blamed"),
        Line2D([], [], color=FIXES[0], marker="o", label="not blamed"),
    ]
    figure.legend(handles=handles, loc="lower right", ncols=2, frameon=False, fontsize=10)
    return figure


def _title(report: DoctorReport, worst: EndpointVerdict, worst_ms: float) -> str:
    known = worst.health.p50
    name = formatting.clean(worst.endpoint, 40)
    if known is None:
        return f"What each endpoint costs the others, at {report.users} users"
    return f"While {name} is under load, the median request elsewhere takes {formatting.latency_words(known)}"


def _row(axes: Axes, number: int, verdict: EndpointVerdict, colour: str) -> None:
    median, longest = verdict.health.p50, verdict.health.max
    assert longest is not None
    if median is not None:
        axes.plot([median.value, longest.value], [number, number], color=colour, lw=2, solid_capstyle="round")
        _dot(axes, number, median, colour, 7)
    _dot(axes, number, longest, colour, 4)
    axes.text(
        1.02,
        number,
        findings_text.figure(median or longest),
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=11,
        color=INK,
    )


def _dot(axes: Axes, number: int, known: SummaryFigure, colour: str, size: float) -> None:
    axes.plot(known.value, number, marker=">" if known.at_least else "o", ms=size, color=colour, mec="white", mew=0.5)
