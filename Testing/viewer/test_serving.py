"""The server of the viewer's page: what it says, and what it does not."""

import asyncio
import gc
import logging

import pytest
from trame.app import get_server

from BSAFusionLib.errors import FusionError
from BSAFusionLib.viewer.serving import ignore_closed_tabs, serve


def test_a_port_in_use_is_reported_in_one_sentence() -> None:
    with pytest.raises(FusionError, match="Port 99999 is already in use or invalid"):
        serve(get_server("a port", client_type="vue3"), 99999, open_browser=False)


@pytest.mark.parametrize(("error", "said"), [(ConnectionResetError, False), (ValueError, True)])
def test_a_picture_for_a_closed_tab_is_no_error_but_others_are(
    error: type[Exception], said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def send() -> None:
        raise error("Cannot write to closing transport")

    async def serve_a_while() -> None:
        ignore_closed_tabs(asyncio.get_running_loop())
        task = asyncio.create_task(send())  # that nobody waits for, as wslink does
        while not task.done():
            await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(serve_a_while())
    assert ("Cannot write to closing transport" in caplog.text) is said


@pytest.mark.parametrize(("error", "said"), [(ConnectionResetError, False), (ValueError, True)])
def test_an_answer_to_a_closed_tab_is_not_logged_but_other_errors_are(
    error: type[Exception], said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer() -> None:
        ignore_closed_tabs(asyncio.get_running_loop())
        try:
            raise error
        except error:
            logging.getLogger("wslink.protocol").error("Exception raised")

    asyncio.run(answer())
    assert ("Exception raised" in caplog.text) is said
