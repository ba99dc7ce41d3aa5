"""The trap: pandas computes on the event loop's thread."""

import numpy
import pandas as pd
from fastapi import FastAPI

app = FastAPI()
draw = numpy.random.default_rng(1)
sales = pd.DataFrame({"shop": draw.integers(0, 50, 150_000), "price": draw.gamma(2.0, 10.0, 150_000)})


def best() -> list[int]:
    smooth = sales.sort_values("price")["price"].rolling(100).mean()
    return smooth.groupby(sales["shop"]).median().nlargest(3).index.tolist()


@app.get("/best")
async def report() -> list[int]:
    return best()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
