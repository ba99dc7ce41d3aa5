"""What each endpoint costs the others: how long the prober waits beside it, on one axis with what it waits idle."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from bench.analysis.summary import Figure as Number
from bench.doctor import sentences as words
from bench.doctor.findings import DoctorReport, Verdict
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, FIXES, GRID, INK, TRAPS, ChartDrawing
from bench.report.text import formatting

ROW_IN = 0.3
ROWS_MOST = 60
"""More endpoints than that are no chart any more: the worst are shown, and the table has them all."""


def cost_chart(checkup: DoctorReport) -> ChartDrawing | None:
    """The chart; None where no prober was answered or waited."""
    shown = [verdict for verdict in checkup.verdicts if verdict.prober.longest is not None]
    if not shown:
        return None
    shown = sorted(shown, key=_typical_ms, reverse=True)[:ROWS_MOST]
    with canvas.style():
        return canvas.rendered("doctor-cost", "doctor-cost", _figure(checkup, shown))


def _typical_ms(verdict: Verdict) -> float:
    known = verdict.prober.p50 or verdict.prober.longest
    return known.value if known else 0.0


def _figure(checkup: DoctorReport, shown: list[Verdict]) -> Figure:
    figure = canvas.blank(2.0 + ROW_IN * len(shown))
    worst = _typical_ms(shown[0])
    title = _title(checkup, shown[0], worst)
    prober = formatting.clean(checkup.declared["prober"], 40)
    top_in = canvas.titled(
        figure, title, f"time until {prober} is answered · dot: median · line to: longest · ▸ unanswered"
    )
    labels = [canvas.fit(formatting.clean(verdict.endpoint, 60), canvas.NAMES_IN) for verdict in shown]
    left_in = 0.35 + max(canvas.text_width_in(label, 11, False) for label in labels)
    axes = canvas.axes_in(figure, left_in=left_in, right_in=1.1, bottom_in=0.95, top_in=top_in + 0.1)
    for number, (verdict, label) in enumerate(zip(shown, labels, strict=True)):
        ill = words.is_ill(checkup, verdict)
        axes.text(
            -0.02,
            number,
            label,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=11,
            weight="bold" if ill else "normal",
        )
        _row(axes, number, verdict, TRAPS[0] if ill else FIXES[0])
    if checkup.idle.p50 is not None:
        axes.axvline(checkup.idle.p50.value, color=FAINT, lw=1.2, ls="--", zorder=1)
    values = [known.value for v in shown for known in (v.prober.p50, v.prober.longest) if known]
    values += [checkup.idle.p50.value] if checkup.idle.p50 else []
    canvas.time_axis(axes, "x", np.asarray(values, dtype=float))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.set_xlabel("log scale; dashed: its median when nobody else asks")
    handles = [
        Line2D([], [], color=TRAPS[0], marker="o", label="accused"),
        Line2D([], [], color=FIXES[0], marker="o", label="not accused"),
    ]
    figure.legend(handles=handles, loc="lower right", ncols=2, frameon=False, fontsize=10)
    return figure


def _title(checkup: DoctorReport, worst: Verdict, worst_ms: float) -> str:
    known = worst.prober.p50
    name = formatting.clean(worst.endpoint, 40)
    if known is None:
        return f"What each endpoint costs the others, at {checkup.users} users"
    return f"Beside {name}, half of the other requests wait {formatting.latency_words(known)}"


def _row(axes: Axes, number: int, verdict: Verdict, colour: str) -> None:
    median, longest = verdict.prober.p50, verdict.prober.longest
    assert longest is not None
    if median is not None:
        axes.plot([median.value, longest.value], [number, number], color=colour, lw=2, solid_capstyle="round")
        _dot(axes, number, median, colour, 7)
    _dot(axes, number, longest, colour, 4)
    axes.text(
        1.02,
        number,
        words.figure(median or longest),
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=11,
        color=INK,
    )


def _dot(axes: Axes, number: int, known: Number, colour: str, size: float) -> None:
    axes.plot(known.value, number, marker=">" if known.at_least else "o", ms=size, color=colour, mec="white", mew=0.5)
