"""Serves the viewer's page on this machine, to whoever has its address."""

import os
import secrets
import threading
import webbrowser
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from trame_server import Server

from BSAFusionLib.errors import FusionError

host = "127.0.0.1"


def serve(server: Server, port: int = 0, open_browser: bool = True) -> None:
    """Serves until it is interrupted, and says where; FusionError where the port (0: any that is free) is taken.

    The address holds a key, which a cookie remembers from then on: another user of this machine, or a page of the web
    that is open in the same browser, cannot see the patient.
    """
    key = secrets.token_urlsafe(16)

    @web.middleware
    async def only_with_key(request: web.Request, handler: Handler) -> web.StreamResponse:
        cookie = f"bsafusion-{server.port}"  # browsers do not keep the cookies of two ports apart
        if secrets.compare_digest(request.query.get("key", "").encode(), key.encode()):
            answer = web.HTTPFound("/index.html")
            answer.set_cookie(cookie, key, httponly=True, samesite="Strict")
            raise answer
        if not secrets.compare_digest(request.cookies.get(cookie, "").encode(), key.encode()):
            raise web.HTTPForbidden(text="Open the address that `run.py view` has printed.")
        return await handler(request)

    async def say_where_session_is(request: web.Request) -> web.Response:
        return web.json_response({"sessionURL": f"ws://{host}:{server.port}/ws"})

    def guard(backend: Any) -> None:
        backend.app.middlewares.append(only_with_key)
        backend.app.router.add_post("/paraview/", say_where_session_is)  # which trame's client asks for first

    def say_where(**_: object) -> None:
        address = f"http://{host}:{server.port}/?key={key}"
        print(f"The result is shown at {address}\nCtrl+C ends this.", flush=True)
        if open_browser:  # not here: some browsers run in the terminal until they are left
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    os.environ["TRAME_ARGS"] = ""  # else trame would read our command line, and let that choose the host
    os.environ["WSLINK_READY_MSG"] = ""  # else wslink prints a sentence of its own
    server.controller.on_server_bind.add(guard)
    server.controller.on_server_ready.add(say_where)
    try:
        server.start(port=port, host=host, timeout=0, open_browser=False, show_connection_info=False)
    except (OSError, OverflowError) as error:
        raise FusionError(f"The port {port} cannot be had: give another, or none for one that is free.") from error
