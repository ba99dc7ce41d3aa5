"""Six endpoints that block the loop: each line that does so says BLOCKS and a name."""

import os
import time
from typing import Annotated

import psycopg
import requests
from fastapi import APIRouter, BackgroundTasks, Depends

router = APIRouter()


async def current_user() -> str:
    time.sleep(0.03)  # BLOCKS dependency
    return "ann"


@router.get("/profile")
async def profile(user: Annotated[str, Depends(current_user)]) -> str:
    return user


@router.get("/audited")
async def audited() -> str:
    return "seen"


async def send_mail(to: str) -> None:
    time.sleep(0.03)  # BLOCKS background


@router.get("/welcome")
async def welcome(tasks: BackgroundTasks) -> str:
    tasks.add_task(send_mail, "ann")
    return "soon"


@router.get("/rates")
async def rates() -> int:
    answer = requests.get(f"{os.environ['UPSTREAM_URL']}/cover", timeout=10)  # BLOCKS http
    return answer.status_code


@router.get("/orders")
async def orders() -> int:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM pg_sleep(0.03)").fetchone()  # BLOCKS database
    return row[0] if row else 0


def score(limit: int) -> int:
    total = 0
    for number in range(limit):
        total += number * number % 7  # BLOCKS cpu
    return total


@router.get("/score")
async def scored() -> int:
    return score(600_000)
