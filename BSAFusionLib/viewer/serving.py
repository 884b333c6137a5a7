"""Serve the viewer's page on this machine, protected by a key in its address."""

import asyncio
import logging
import os
import secrets
import sys
import threading
import webbrowser
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from trame_server import Server

from BSAFusionLib.errors import FusionError

HOST = "127.0.0.1"


def serve(server: Server, port: int = 0, open_browser: bool = True) -> None:
    """Print the page's address and serve it until interrupted.

    The address holds a key that a cookie keeps from then on, so that other users of this machine and other web pages in
    the same browser cannot see the patient.

    Args:
        server: The page's server.
        port: Of this machine; 0 for any free one.
        open_browser: Open the address in the default browser.

    Raises:
        FusionError: The port is in use or invalid.
    """
    key = secrets.token_urlsafe(16)

    @web.middleware
    async def only_with_key(request: web.Request, handler: Handler) -> web.StreamResponse:
        cookie = f"bsafusion-{server.port}"  # browsers do not keep the cookies of two ports apart
        if secrets.compare_digest(request.query.get("key", "").encode(), key.encode()):
            redirect = web.HTTPFound("/index.html")
            redirect.set_cookie(cookie, key, httponly=True, samesite="Strict")
            raise redirect
        if not secrets.compare_digest(request.cookies.get(cookie, "").encode(), key.encode()):
            raise web.HTTPForbidden(text="Open the address that `run.py view` has printed.")
        try:
            return await handler(request)
        except ConnectionResetError:  # the tab was closed
            return web.Response()

    async def send_session_address(request: web.Request) -> web.Response:
        return web.json_response({"sessionURL": f"ws://{HOST}:{server.port}/ws"})

    def guard(backend: Any) -> None:
        backend.app.middlewares.append(only_with_key)
        backend.app.router.add_post("/paraview/", send_session_address)  # trame's client requests it first

    def print_address(**_: object) -> None:
        address = f"http://{HOST}:{server.port}/?key={key}"
        print(f"The result is shown at {address}\nPress Ctrl+C to stop.", flush=True)
        if open_browser:  # in a thread: some browsers run in the terminal until they are closed
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    os.environ["TRAME_ARGS"] = ""  # else trame reads our command line and takes the host from it
    os.environ["WSLINK_READY_MSG"] = ""  # else wslink prints a message of its own
    server.controller.on_server_bind.add(guard)
    server.controller.on_server_ready.add(lambda **_: ignore_closed_tabs(asyncio.get_running_loop()))
    server.controller.on_server_ready.add(print_address)
    try:
        server.start(port=port, host=HOST, timeout=0, open_browser=False, show_connection_info=False)
    except (OSError, OverflowError) as error:
        raise FusionError(f"Port {port} is already in use or invalid; choose another with --port.") from error


def ignore_closed_tabs(loop: asyncio.AbstractEventLoop) -> None:
    """Let a picture or an answer that was on its way to a closed tab be no error; other errors are reported.

    Args:
        loop: Runs the server; wslink sends pictures in tasks of it that nobody waits for.
    """
    logging.getLogger("wslink.protocol").addFilter(_is_no_closed_tab)
    loop.set_exception_handler(_report_other_errors)


def _is_no_closed_tab(_record: logging.LogRecord) -> bool:
    return not isinstance(sys.exc_info()[1], ConnectionResetError)  # wslink logs while it handles an error


def _report_other_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("exception"), ConnectionResetError):
        loop.default_exception_handler(context)
