"""Mutated inputs for everything that reads what others wrote: ``python tests/fuzz/fuzz_readers.py --inputs 100000``.

Valid inputs are damaged at random: bytes are changed, cut or repeated; values of JSON documents are exchanged, removed,
nested, or replaced by hostile ones. A reader may refuse an input with its documented error. Anything else is a finding:
another exception, more than MAX_READ_S, or a file that was written.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import synthetic  # noqa: E402

from bench.analysis.run_reader import read_run  # noqa: E402
from bench.analysis.tables import ExcludedTrial  # noqa: E402
from bench.analysis.trial_reader import read_trial  # noqa: E402
from bench.cli import app_options  # noqa: E402
from bench.doctor.openapi import Document, operations  # noqa: E402
from bench.doctor.selection import Selection  # noqa: E402
from bench.model.errors import UsageError  # noqa: E402
from bench.results.control_messages import (  # noqa: E402
    BadMessage,
    LoadFailed,
    MeasurementRequested,
    PlannedTurn,
    RunTurns,
    TargetRecord,
    TrialNotRecorded,
    decode,
    encode,
)
from bench.results.files import BrokenFile  # noqa: E402

MAX_READ_S = 5.0
"""A reader that takes longer hangs: the inputs are small."""
MAX_MUTATIONS = 6
HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1e308, -0.5, 10**30, "", [], {}, [[]], {"a": {}}),
    *("\0", "\r\nX: y", "<script>alert(1)</script>", "\u202e\u2066", "\ud800", "x" * 10_000, "../../etc/passwd"),
    *("{" * 500, "NaN", {"$ref": "#"}, {"$ref": "#/components/schemas/Item"}, {"allOf": [{"$ref": "#"}] * 9}),
)
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/items/{item_id}": {
            "parameters": [{"in": "path", "name": "item_id", "required": True, "schema": {"type": "integer"}}],
            "get": {
                "parameters": [
                    {"in": "query", "name": "q", "required": True, "example": "a"},
                    {"in": "header", "name": "X-Key", "required": True, "schema": {"enum": ["k"]}},
                    {"in": "cookie", "name": "c", "required": True, "examples": {"one": {"value": 1}}},
                ]
            },
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}},
                }
            },
        }
    },
    "components": {
        "schemas": {
            "Item": {
                "allOf": [
                    {"$ref": "#/components/schemas/Base"},
                    {"properties": {"next": {"$ref": "#/components/schemas/Item"}}, "required": ["next"]},
                ],
                "default": {"name": "a"},
            },
            "Base": {"properties": {"name": {"anyOf": [{"const": "a"}, {"type": "null"}]}}, "required": ["name"]},
        }
    },
}
SELECTION = Selection(include=("POST /items/{item_id}",), params={"item_id": 5}, headers=(("X-A", "b"),))
PARAMS = b'{"item_id": 5, "GET /a": {"b": [1, {"c": null}]}}'
MESSAGES = (
    RunTurns(
        (TargetRecord("a", "http://127.0.0.1:1", "/x"),), (PlannedTurn("a", 1, 0.1, 0.2, 0.0),), 1, "f.py", ("--x",), 1
    ),
    MeasurementRequested("a/b", 3, None),
    TrialNotRecorded("no"),
    LoadFailed("no"),
)


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]


class Refused(Exception):
    """A trial that was left out, with its reason."""


class TooSlow(BaseException):
    """A reader took longer than MAX_READ_S. No reader catches it."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise TooSlow inside after MAX_READ_S."""

    def ring(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, MAX_READ_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """The input, damaged."""
    content = seed
    for _ in range(chance.randint(1, MAX_MUTATIONS)):
        content = _mutated_json(content, chance) if chance.random() < 0.6 else _mutated_bytes(content, chance)
    return content


def _mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) + 1)
    length = chance.choice((1, 2, 8, 64))
    match chance.randrange(5):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + chance.randbytes(length) + content[place:]
        case 2:
            return content[:place] + content[place + length :]
        case 3:
            return content[:place] + content[place : place + length] * 3 + content[place:]
        case _:
            digit = str(chance.choice((-1, 0, 9**20, "1e999", "nan"))).encode()
            return content[:place] + digit + content[place + 1 :]


def _mutated_json(content: bytes, chance: random.Random) -> bytes:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return _mutated_bytes(content, chance)
    places = list(_places(document))
    if not places:
        return _mutated_bytes(content, chance)
    holder, key = chance.choice(places)
    match chance.randrange(4):
        case 0:
            del holder[key]
        case 1:
            holder[key] = copy.deepcopy(chance.choice(HOSTILE))
        case 2:
            other, from_key = chance.choice(places)
            holder[key] = copy.deepcopy(other[from_key])
        case _:
            holder[key] = [holder[key]] if chance.random() < 0.5 else {"value": holder[key]}
    return json.dumps(document).encode("utf-8", errors="surrogatepass")


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(items):
        yield document, key
        yield from _places(value)


def targets(place: Path) -> tuple[Target, ...]:
    """The readers, which read files in ``place``."""
    run = synthetic.blocking_run(place / "run", rounds=1, ways=synthetic.WAYS[:1])
    trial = next(run.glob("*/*/*/1/trial.json")).parent
    names = ("trial.json", *sorted(path.name for path in trial.iterdir() if path.name != "trial.json"))
    return (
        Target("run.json", ((run / "run.json").read_bytes(),), _run_reader(run), (BrokenFile,)),
        *(Target(name, ((trial / name).read_bytes(),), _trial_reader(run, trial, name), ()) for name in names),
        Target("OpenAPI document", (json.dumps(DOCUMENT).encode(),), _read_document, (ValueError, RecursionError)),
        Target("control message", tuple(encode(message) for message in MESSAGES), decode, (BadMessage,)),
        Target("--params", (PARAMS,), _params_reader(place), (UsageError,)),
        Target("--env-file", (b'A=1\nB="two words"\n# c\nexport D=$A\n',), _env_reader(place), (UsageError,)),
    )


def _run_reader(run: Path) -> Callable[[bytes], object]:
    whole = (run / "run.json").read_bytes()

    def read(content: bytes) -> object:
        (run / "run.json").write_bytes(content)
        try:
            return read_run(run)
        finally:
            (run / "run.json").write_bytes(whole)

    return read


def _trial_reader(run: Path, trial: Path, name: str) -> Callable[[bytes], object]:
    """Reads the trial with other content in one of its files. A broken trial is left out of the run, with its reason.

    trial.json has the sizes of the others. The size of the damaged one is corrected, since it would not be read.
    """
    whole, record = (trial / name).read_bytes(), (trial / "trial.json").read_bytes()

    def read(content: bytes) -> object:
        if name != "trial.json":
            corrected = json.loads(record)
            corrected["files"][name] = len(content)
            (trial / "trial.json").write_text(json.dumps(corrected))
        (trial / name).write_bytes(content)
        try:
            outcome = read_trial(run, trial, "blocking", "blocking_call", 1)
        finally:
            (trial / name).write_bytes(whole)
            (trial / "trial.json").write_bytes(record)
        if isinstance(outcome, ExcludedTrial):
            raise Refused(outcome.reasons[0])
        return outcome

    return read


def _read_document(content: bytes) -> object:
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("the doctor refuses what is no object")
    return operations([Document("", document)], SELECTION)


def _params_reader(place: Path) -> Callable[[bytes], object]:
    def read(content: bytes) -> object:
        (place / "params.json").write_bytes(content)
        return app_options.wishes((), (), Path("params.json"), (), place)

    return read


def _env_reader(place: Path) -> Callable[[bytes], object]:
    def read(content: bytes) -> object:
        (place / "variables").write_bytes(content)
        return app_options.variables(Path("variables"), place)

    return read


def fuzz(inputs: int, seconds: float, seed: int) -> int:
    """Read at most ``inputs`` damaged inputs in at most ``seconds``. Returns the number of findings."""
    chance = random.Random(seed)
    findings = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        place = Path(folder)
        os.chdir(place)
        readers = targets(place)
        known = _listed(place)
        done, slowest_s, refused, until_s = 0, 0.0, 0, time.monotonic() + seconds
        while done < inputs and time.monotonic() < until_s:
            target = readers[done % len(readers)]
            content = mutated(chance.choice(target.seeds), chance)
            begun_s = time.perf_counter()
            try:
                with limited():
                    target.read(content)
            except (Exception, TooSlow) as error:
                if isinstance(error, (Refused, *target.refusals)):
                    refused += 1
                    continue
                findings += 1
                print(f"finding: {target.name}: {content[:400]!r}\n{traceback.format_exc()}")
            finally:
                slowest_s = max(slowest_s, time.perf_counter() - begun_s)
                done += 1
        written = _listed(place) - known - {place / "params.json", place / "variables"}
        if written:
            findings += 1
            print(f"finding: files were written: {sorted(map(str, written))}")
    print(f"{done} inputs to {len(readers)} readers, {refused} refused, slowest {slowest_s:.2f} s, {findings} findings")
    return findings


def _listed(place: Path) -> set[Path]:
    return set(place.rglob("*"))


def main() -> None:
    """Parse the command line, and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="[100000]")
    parser.add_argument("--seconds", type=float, default=1800.0, help="at most [1800]")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(1 if fuzz(options.inputs, options.seconds, options.seed) else 0)


if __name__ == "__main__":
    main()
