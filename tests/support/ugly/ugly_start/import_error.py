"""Imports what is not there."""

from fastapi import FastAPI, there_is_no_such_name

app = FastAPI(title=there_is_no_such_name)
