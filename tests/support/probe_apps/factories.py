"""Apps that are made, and some that cannot be."""

from fastapi import FastAPI

number = 5


def create() -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> str:
        return "made"

    return app


def broken() -> FastAPI:
    app: FastAPI = FastAPI().add_api_route()  # type: ignore[call-arg, func-returns-value]
    return app
