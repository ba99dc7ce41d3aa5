"""Raises while it starts up, as an app does whose database is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    raise RuntimeError("no database")
    yield


app = FastAPI(lifespan=lifespan)
