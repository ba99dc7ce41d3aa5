"""What the doctor refuses: one line that says what is wrong, status 2, and nothing left. Nothing is measured here."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Bench
from shop import asked, write_shop

BROKEN = {
    "number.py": "app = 42\n",
    "wsgi.py": "def app(environ, start_response):\n    return []\n",
    "maker.py": "from fastapi import FastAPI\ndef make():\n    return FastAPI()\n",
    "needs.py": 'import os\nfrom fastapi import FastAPI\nSECRET = os.environ["SHOP_SECRET"]\napp = FastAPI()\n',
    "late.py": (
        "import os\nfrom contextlib import asynccontextmanager\nfrom fastapi import FastAPI\n"
        "@asynccontextmanager\nasync def lifespan(_):\n    os.environ['SHOP_SECRET']\n    yield\n"
        "app = FastAPI(lifespan=lifespan)\n"
    ),
    "off.py": "from fastapi import FastAPI\napp = FastAPI(openapi_url=None)\n",
    "empty.py": "from fastapi import FastAPI\napp = FastAPI()\n",
    "syntax.py": "def (\n",
    "lacks.py": "import no_such_package\n",
    "leaves.py": "import sys\nsys.exit('not today')\n",
    "dies.py": "import os\nos._exit(9)\n",
    "text": "\nnot JSON\n",
    "list.json": "[]\n",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    for name, text in BROKEN.items():
        (folder / name).write_text(text)
    bare = ("-m", "venv", "--without-pip", str(folder / "bare"))
    subprocess.run([sys.executable, *bare], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("shop", ["MODULE:ATTRIBUTE", "'shop'"]),
        ("nowhere:app", ["no module 'nowhere'"]),
        ("empty.below:app", ["empty.below"]),
        ("empty:application", ["empty has no attribute 'application'"]),
        ("number:app", ["not an ASGI app", "int"]),
        ("wsgi:app", ["not an ASGI app", "WSGI"]),
        ("maker:make", ["--factory"]),
        ("needs:app", ["KeyError: 'SHOP_SECRET'", "needs.py:3", "--env-file"]),
        ("late:app", ["while starting", "KeyError: 'SHOP_SECRET'"]),
        ("off:app", ["no OpenAPI document", "--path"]),
        ("empty:app", ["no operation that can be measured"]),
        ("syntax:app", ["SyntaxError"]),
        ("lacks:app", ["No module named 'no_such_package'", "lacks.py:1"]),
        ("leaves:app", ["SystemExit: not today"]),
        ("dies:app", ["cannot be imported"]),
        ("empty:app --python bare/bin/python", ["no uvicorn", "bare/bin/python"]),
        ("empty:app --python nowhere", ["--python", "nowhere"]),
        ("empty:app --app-dir nowhere", ["--app-dir", "nowhere"]),
        ("empty:app --openapi /docs.json", ["/docs.json", "404", "--openapi"]),
        ("empty:app --include 'POST /x'", ["no operation 'POST /x'"]),
        ("empty:app --path nowhere", ["begins with '/'"]),
        ("empty:app --path /nowhere", ["GET /nowhere: answered with status 404"]),
        ("empty:app --header nonsense", ["Name: value"]),
        ("empty:app --params nowhere", ["--params", "nowhere"]),
        ("empty:app --params text", ["--params", "not JSON"]),
        ("empty:app --params list.json", ["--params", "an object"]),
        ("empty:app --env-file nowhere", ["--env-file", "nowhere"]),
        ("empty:app --env-file text", ["--env-file", "line 2 of text", "NAME=value"]),
        ("empty:app --fail-on slow", ["'slow'", "loop-blocked", "threadpool-exhausted"]),
        ("empty:app --users 0", ["--users", "1<=x"]),
        ("empty:app -- --port 80", ["--port"]),
    ],
)
def test_what_cannot_be_looked_at_ends_as_one_line(
    broken: Path, tmp_path: Path, arguments: str, says: list[str]
) -> None:
    words = shlex.split(arguments)
    at = words.index("--") if "--" in words else len(words)
    ours = ["--invoked-from", broken, "--results", tmp_path / "results", "--run", "r"]
    with Bench("doctor", *words[:at], *ours, *words[at:]) as started:
        out, err = started.popen.communicate(timeout=120)
        started.descendants()
        assert started.left() == []
    assert started.popen.returncode == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert [word for word in says if word not in err] == [], err
    assert not (tmp_path / "results" / "r").exists()


def test_writes_are_not_sent_where_nobody_can_agree(tmp_path: Path) -> None:
    shop = write_shop(tmp_path)
    with Bench("doctor", "shop:app", "--include-writes", "--invoked-from", shop, "--results", shop / "r") as started:
        out, err = started.popen.communicate(timeout=60)
    assert started.popen.returncode == 2
    assert "--yes" in err
    assert "POST /items" in out
    assert {line.partition(" ")[0] for line in asked(shop)} == {"GET"}
