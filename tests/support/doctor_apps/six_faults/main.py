"""The app: everything is put together here, and nothing blocks in this file."""

from fastapi import FastAPI

from six_faults import blocking, harmless
from six_faults.audit import audit

app = FastAPI()
app.middleware("http")(audit)
app.include_router(harmless.router)
app.include_router(blocking.router, prefix="/blocking")
