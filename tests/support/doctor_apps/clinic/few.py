"""The six that sin and three that do not."""

from fastapi import FastAPI

from clinic import healthy, sick
from clinic.audit import audit

app = FastAPI()
app.middleware("http")(audit)
app.get("/")(healthy.root)
app.get("/awaited")(healthy.awaited)
app.get("/threaded")(healthy.threaded)
app.include_router(sick.router, prefix="/sick")
