"""Who may use the web UI: this machine, through pages of this UI. Locust itself lets in every site and every process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import zmq
from flask import Request
from locust.rpc import zmqrpc

from bench.results.control_messages import Configure

LOCAL = ("localhost", "127.0.0.1", "::1")
CORS = "access-control-"
"""Headers that begin so tell a browser to let pages of other sites read the answer (Fetch Standard, section 3.2)."""
OTHER_SITES = ("cross-site", "same-site")
LINKED_PATHS = ("/", "/login")
"""Pages that may be opened by a link on another site, since opening them changes nothing."""

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def refusal(request: Request, configuration: Configure) -> str | None:
    """Why a request is refused, whatever its method; None when it is not.

    Without a login, the Host header must name this machine: with DNS rebinding another site's name leads here, and its
    page would count as ours. A browser says with Origin and Sec-Fetch-Site whose page sends a request. Programs such as
    curl send neither.
    """
    if not configuration.login_name and urlsplit(f"//{request.host}").hostname not in {*LOCAL, configuration.host}:
        return "open this page by the address that was printed"
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("//")[2] != request.host:
        return "only a page of this address may do that"
    if request.headers.get("Sec-Fetch-Site") in OTHER_SITES and not _is_followed_link(request):
        return "only a page of this address may do that"
    return None


def _is_followed_link(request: Request) -> bool:
    headers = request.headers
    opens = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    return opens and request.method == "GET" and request.path in LINKED_PATHS


def without_cors(app: WsgiApp) -> WsgiApp:
    """The WSGI app without the headers that open it to other sites. Locust adds them after all hooks of Flask."""

    def filtered(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [(name, value) for name, value in headers if not name.lower().startswith(CORS)]
            return start_response(status, kept, *more)

        return app(environ, start)

    return filtered


def protect_workers() -> None:
    """Keep other processes away from the port where Locust's master meets its workers.

    The sockets of both use CurveZMQ (ZeroMQ RFC 26). Its handshake needs the master's public key, which is made here,
    before Locust forks its workers, and never leaves these processes.
    """
    public, secret = zmq.curve_keypair()
    make: Callable[[Any, int, bool], None] = zmqrpc.BaseSocket.__init__

    def make_protected(self: Any, kind: int, ipv4_only: bool) -> None:
        make(self, kind, ipv4_only)
        if kind == zmq.ROUTER:
            self.socket.curve_publickey, self.socket.curve_secretkey = public, secret
            self.socket.curve_server = True
        else:
            self.socket.curve_publickey, self.socket.curve_secretkey = zmq.curve_keypair()
            self.socket.curve_serverkey = public

    zmqrpc.BaseSocket.__init__ = make_protected
