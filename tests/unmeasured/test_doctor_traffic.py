"""A real session in a browser, saved as a HAR file and as the server's access log: the same operations are asked."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from harness import bench
from playwright.sync_api import sync_playwright
from shop import asked, write_shop

from bench.running.ports import free_port
from bench.running.processes import start
from bench.running.readiness import wait_until_ready

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)

VISITED = ("/items", "/users/grace", "/items/12?full=1")
SECRET = "cookie-of-the-session-7f3a"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, after a browser has visited it: ``session.har`` and ``access.log`` lie beside it."""
    folder = write_shop(tmp_path_factory.mktemp("session"))
    port = free_port()
    words = [sys.executable, "-m", "uvicorn", "shop:app", "--port", port, "--app-dir", folder]
    with start([str(word) for word in words], name="shop", log=folder / "access.log", cwd=folder) as server:
        url = f"http://127.0.0.1:{port}"
        assert wait_until_ready({"shop": (server, f"{url}/items")}, 30)["shop"] is None
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            context = browser.new_context(record_har_path=folder / "session.har")
            context.add_cookies([{"name": "session", "value": SECRET, "url": url}])
            page = context.new_page()
            for path in VISITED:
                page.goto(f"{url}{path}")
            context.close()
            browser.close()
    (folder / "asked").unlink()
    return folder


@pytest.mark.parametrize(("option", "file"), [("--har", "session.har"), ("--access-log", "access.log")])
def test_what_the_browser_asked_is_asked(session: Path, option: str, file: str) -> None:
    done = bench("doctor", "shop:app", "--list", option, file, "--invoked-from", session, timeout_s=120)
    assert done.returncode == 0, done.stderr
    assert asked(session) == {"GET /openapi.json", *(f"GET {path.partition('?')[0]}" for path in VISITED)}
    shown = " ".join(done.stdout.split())
    assert "needs a value" not in shown
    assert shown.count("a HAR file" if option == "--har" else "an access log") == len(VISITED)
    (session / "asked").unlink()
