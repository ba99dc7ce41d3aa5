"""The measurement of each part, and its default number of rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.calibrate.parts.measure_freeze import measure_freeze
from bench.calibrate.parts.measure_generators import measure_generators
from bench.calibrate.parts.measure_lag import measure_lag
from bench.calibrate.parts.measure_memory import measure_memory
from bench.calibrate.parts.measure_noise import measure_noise
from bench.calibrate.parts.measure_overhead import measure_overhead
from bench.calibrate.parts.measure_probe_cost import measure_probe_cost
from bench.calibrate.parts.measure_verdicts import measure_verdicts
from bench.calibrate.rows import CalibrationRow
from bench.calibrate.setup import CalibrationSetup


@dataclass(frozen=True)
class CalibrationPart:
    """How to measure a part."""

    measure: Callable[[CalibrationSetup], Iterator[CalibrationRow]]
    rounds: int
    """Default number of rounds."""


PART_MEASUREMENTS: dict[str, CalibrationPart] = {
    "generators": CalibrationPart(measure_generators, 5),
    "lag": CalibrationPart(measure_lag, 5),
    "freeze": CalibrationPart(measure_freeze, 2),
    "memory": CalibrationPart(measure_memory, 1),
    "overhead": CalibrationPart(measure_overhead, 5),
    "noise": CalibrationPart(measure_noise, 10),
    "probe": CalibrationPart(measure_probe_cost, 20),
    "verdicts": CalibrationPart(measure_verdicts, 24),
}
"""By the names of rows.PARTS."""
