"""The six that block and three that do not."""

from fastapi import FastAPI

from six_faults import blocking, harmless
from six_faults.audit import audit

app = FastAPI()
app.middleware("http")(audit)
app.get("/")(harmless.root)
app.get("/awaited")(harmless.awaited)
app.get("/threaded")(harmless.threaded)
app.include_router(blocking.router, prefix="/blocking")
