"""Show a folder of results in the browser, in Slicer's slice and 3D views."""

import argparse
from pathlib import Path

from BSAFusionLib.commands._extras import require_extra


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "result",
        type=Path,
        metavar="RESULT_DIR",
        help="the folder that fuse or demo wrote, or that of one case of batch (or the report in it)",
    )
    for role, volume in (("fixed", "MRI"), ("moving", "CT, PET or SPECT")):
        parser.add_argument(
            f"--{role}",
            type=Path,
            metavar="FILE",
            help=f"the {volume} that the result was made from, or its DICOM folder (default: the file in the report)",
        )
    parser.add_argument("--port", type=int, default=0, help="port of this machine, 127.0.0.1 (default: any free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    require_extra("view", ("slicer", "trame_slicer", "trame_vuetify", "aiohttp"))
    # Imported here so that --help is quick.
    from BSAFusionLib.files.vtk_messages import quiet
    from BSAFusionLib.mrml.rendering import require_opengl
    from BSAFusionLib.viewer.page import Page
    from BSAFusionLib.viewer.result_folder import read_result
    from BSAFusionLib.viewer.serving import serve

    found = read_result(arguments.result, arguments.fixed, arguments.moving)
    require_opengl()
    with quiet():  # VTK's messages while it creates the views
        page = Page(found)
    serve(page.server, arguments.port, not arguments.no_browser)
    return 0
