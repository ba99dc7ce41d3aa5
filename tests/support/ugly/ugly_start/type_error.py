"""TypeError while it is imported: uvicorn has its own idea of that one."""

from fastapi import FastAPI

app = FastAPI()
app.add_api_route()
