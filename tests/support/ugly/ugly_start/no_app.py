"""Has no app, only something of another name."""

from fastapi import FastAPI

application = FastAPI()
