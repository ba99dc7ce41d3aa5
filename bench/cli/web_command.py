"""``web``: measures from Locust's web UI."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.cli.measuring import make_folder, make_invocation, print_line
from bench.cli.option_types import PLACE, RESULTS, command_words, recorded_command, run_name
from bench.cli.own_services import own_service_urls, own_services
from bench.planning import catalogue


@dataclass(frozen=True)
class WebOptions:
    """The options of the command."""

    scenarios: tuple[str, ...] = ()
    web_host: str = "127.0.0.1"
    web_port: int = 8089
    processes: int = 1
    database_url: str | None = None
    redis_url: str | None = None
    apps: Path = catalogue.APPS
    results: Path = Path("results")

    def command(self) -> str:
        """The command line that opens the same UI again."""
        return recorded_command("web", command_words(web_command, self))


@click.command("web")
@click.argument("scenarios", nargs=-1)
@click.option("--web-host", default="127.0.0.1", help="Address to listen on; beyond loopback a login is needed.")
@click.option("--web-port", type=click.IntRange(1, 65_535), default=8089, help="Port, or the next free one.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, help="Number of Locust processes.")
@own_services
@click.option("--apps", type=PLACE, default=catalogue.APPS, hidden=True)
@RESULTS
def web_command(**values: Any) -> None:
    """Measure from Locust's web UI: every variant (of SCENARIOS) one click away. Ctrl-C ends it.

    Beyond loopback, the environment variables BENCH_WEB_USER and BENCH_WEB_PASSWORD say who may come in.
    """
    from bench.web.run_registry import PROFILE
    from bench.web.server import WebSettings, serve

    options = WebOptions(**values)
    results = options.results.absolute()
    apps = options.apps.absolute()
    urls = own_service_urls(options.database_url, options.redis_url)
    settings = WebSettings(
        options.web_host, options.web_port, options.processes, apps, results, options.scenarios, urls
    )
    make_folder(results)
    command = options.command()
    sys.exit(serve(settings, results / run_name(None), make_invocation(PROFILE, lambda *_: command), print_line))
