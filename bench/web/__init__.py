"""``nox -s web``: starts Locust's own web UI, and brings up, watches and records what is measured there.

cli ─► session ─► Locust with its web UI (bench/load/web/)
          │ line: start, load, over …
          ▼
       measuring ─► run_group ─► results/<run>/ ─► python -m bench report
"""
