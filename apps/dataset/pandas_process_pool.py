"""Two processes, each with its own table and its own GIL. Only the result is sent back."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

import numpy
import pandas as pd
from fastapi import FastAPI

draw = numpy.random.default_rng(1)
sales = pd.DataFrame({"shop": draw.integers(0, 50, 150_000), "price": draw.gamma(2.0, 10.0, 150_000)})


def best() -> list[int]:
    smooth = sales.sort_values("price")["price"].rolling(100).mean()
    return smooth.groupby(sales["shop"]).median().nlargest(3).index.tolist()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as app.state.pool:
        await asyncio.gather(*(asyncio.wrap_future(app.state.pool.submit(best)) for _ in range(2)))
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/best")
async def report() -> list[int]:
    return await asyncio.wrap_future(app.state.pool.submit(best))


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
