"""A variant: one way to write the endpoint, and how its server is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.model.bounds import UpperBound

Role = Literal["trap", "fix", "baseline"]


@dataclass(frozen=True)
class Sidecar:
    """A program that a variant needs next to its server, in the same environment and on the same cores."""

    name: str
    command: tuple[str, ...]
    """``python`` as the first word means the interpreter that runs the server."""
    ready: str
    """The sidecar is ready when its log contains this text."""


@dataclass(frozen=True)
class AppSource:
    """An app that is not in the catalogue: what uvicorn serves, where it is, and which interpreter runs it."""

    target: str
    """As uvicorn takes it: ``shop.main:app``."""
    folder: str
    """Where the target can be imported (uvicorn's ``--app-dir``). Its server runs in this folder, too."""
    python: str = ""
    """The app's own interpreter, with its own packages. Empty: the harness's."""
    factory: bool = False
    """Whether the target is a function that returns the app."""
    code_folders: tuple[str, ...] = ()
    """More folders with the app's own code, such as that of an installed package."""
    watch_start_up: bool = False
    """Whether the probe also watches the app while it starts."""
    url: str = ""
    """Address of a server that runs already. The harness then neither starts nor stops it, and ignores the rest."""


@dataclass(frozen=True)
class Variant:
    """One way to write the endpoint: the file ``apps/<scenario>/<name>.py`` with a FastAPI ``app``."""

    name: str
    role: Role
    summary: str
    """A few words for charts and tables: ``time.sleep in async def``."""
    bound: UpperBound | None = None
    workers: int = 1
    uvicorn_options: tuple[str, ...] = ()
    same_file_as: str = ""
    """Name of another variant whose file this one runs, where only the way of serving differs. Empty: its own file."""
    probed: bool = True
    """Whether the probe is in its server. Only a measurement of the probe's own cost leaves it out."""
    environment: tuple[tuple[str, str], ...] = ()
    """More environment variables of its server: ``(("OMP_NUM_THREADS", "1"),)``."""
    sidecars: tuple[Sidecar, ...] = ()
    """Programs that are started and stopped with its server, such as a queue's workers."""
    exclusive: bool = False
    """Whether it gets a group to itself. For a variant that still works after its turn has ended."""
    app: AppSource | None = None
    """The app to serve in place of a file of the catalogue."""
    expected_latency_s: float | None = None
    """Latency of a request under the load, as tried beforehand. For a variant without a bound."""
    control_of: str = ""
    """Name of the variant that this one repeats: an A/A control, which measures the noise. Empty: none."""

    @property
    def module(self) -> str:
        """Name of its file in the scenario's folder, without ``.py``."""
        return self.same_file_as or self.name
