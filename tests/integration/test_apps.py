"""What single apps promise beyond the contract of all: they close what they open, and the photo is made by code."""

from __future__ import annotations

import asyncio
import importlib
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from make_photo import SIZE, photo
from PIL import Image, ImageChops, ImageStat

from bench.planning import catalogue

POOLS = (
    *("cpu.process_pool", "dataset.pandas_process_pool"),
    *("images.pillow_process_pool", "images.pure_python_process_pool"),
)
FILES = ("files.open_in_def", "files.open_in_async_def", "files.anyio_open_file", "files.aiofiles")


def app(module: str) -> FastAPI:
    found = importlib.import_module(f"apps.{module}").app
    assert isinstance(found, FastAPI)
    return found


def computing() -> set[psutil.Process]:
    """Our children, without the tracker that multiprocessing keeps for as long as we live."""
    children = psutil.Process().children(recursive=True)
    return {child for child in children if not any("resource_tracker" in word for word in child.cmdline())}


@pytest.mark.parametrize("module", POOLS)
def test_a_pool_answers_from_its_processes_and_leaves_none_behind(module: str) -> None:
    before = computing()
    served = app(module)
    path = catalogue.load(module.split(".")[0]).path

    async def asked() -> set[psutil.Process]:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://app")
        async with served.router.lifespan_context(served), client:
            answers = await asyncio.gather(*(client.get(path) for _ in range(4)))
            assert len({answer.content for answer in answers}) == 1
            return computing()

    assert len(asyncio.run(asked()) - before) == 2
    assert computing() == before


@pytest.mark.parametrize("module", FILES)
def test_copies_are_deleted_and_their_folder_with_the_app(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    served = app(module)

    async def asked() -> list[str]:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://app")
        async with served.router.lifespan_context(served), client:
            answers = await asyncio.gather(*(client.get("/copy") for _ in range(8)))
            assert [answer.json() for answer in answers] == [{"bytes": 256 * 1024}] * 8
            return [path.name for path in tmp_path.glob("*/*")]

    assert asyncio.run(asked()) == ["scan"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("module", "tokens"), [("threadpool.def_default_40", 40), ("threadpool.def_200_tokens", 200)])
def test_tokens_while_the_app_runs(module: str, tokens: int) -> None:
    served = app(module)

    async def counted() -> float:
        async with served.router.lifespan_context(served):
            return current_default_thread_limiter().total_tokens

    assert asyncio.run(counted()) == tokens


def test_the_photo_is_the_one_made_by_code() -> None:
    """As far as a JPEG keeps it, whatever the version of Pillow that stored it."""
    with Image.open(catalogue.APPS / "images" / "photo.jpg") as stored:
        assert stored.size == SIZE
        difference = ImageStat.Stat(ImageChops.difference(stored.reduce(8), photo().reduce(8)))
    assert max(difference.mean) < 2  # of 255; shrunk, for the grain is what a JPEG loses
