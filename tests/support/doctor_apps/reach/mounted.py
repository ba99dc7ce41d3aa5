"""Two mounted apps: one with a document of its own, one whose document is switched off."""

from fastapi import FastAPI

admin = FastAPI()
hidden = FastAPI(openapi_url=None)


@admin.get("/jobs")
async def jobs() -> list[int]:
    return [1, 2]


@hidden.get("/sums/{number}")
async def sums(number: int = 5) -> int:
    return number
