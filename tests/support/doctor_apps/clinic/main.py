"""The app: everything is put together here, and nothing sins in this file."""

from fastapi import FastAPI

from clinic import healthy, sick
from clinic.audit import audit

app = FastAPI()
app.middleware("http")(audit)
app.include_router(healthy.router)
app.include_router(sick.router, prefix="/sick")
