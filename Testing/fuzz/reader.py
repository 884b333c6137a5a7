"""Make a whole file of every kind, or read files as a user's, one a line of its input; started by `fuzz.py`.

reader.py make FOLDER
reader.py read FOLDER      lines in: seconds and path; lines out: "read", "refused", or "failed: " and the error
"""

import resource
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import json
import shutil

import numpy as np
import SimpleITK as sitk
import torch
from trame_slicer.core import SlicerApp

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.scan import read_scan
from BSAFusionLib.files.points import read_points
from BSAFusionLib.files.volumes import read_volume, write_transform, write_volume
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.metadata import Metadata
from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionLib.network.runner import Runner
from BSAFusionLib.network.weights import load_network, save_network
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from Testing.dicom.conftest import write_nuclear, write_series
from Testing.markups import write_points
from Testing.network.stacks import random_stack
from Testing.released import to_released

patience = 20  # seconds waited for one of computing, on a busy machine
gibibytes = 6  # of address space, so that a header that promises the earth costs nobody theirs


def make(folder: Path) -> None:
    """Write whole.KIND of every kind into the folder, and the network that runs use."""
    z, y, x = np.mgrid[-1:1:10j, -1:1:14j, -1:1:12j]
    inside = x**2 + y**2 + z**2 < 0.7
    image = sitk.GetImageFromArray((inside * (60 + 30 * np.cos(4 * x) * np.sin(3 * y + z))).astype(np.int16))
    image.SetSpacing((15.0, 14.0, 16.0))
    image.SetOrigin((-90.0, -98.0, -80.0))
    for kind in ("nii", "nii.gz", "nrrd", "mha"):
        write_volume(image, folder / f"whole.{kind}")
    write_series(folder / "series", image, "PT", Units="GML")
    next((folder / "series").iterdir()).rename(folder / "whole.pet.dcm")
    write_nuclear(folder / "whole.spect.dcm", image, 15.0)
    write_transform(sitk.Euler3DTransform(), folder / "whole.h5")
    write_transform(sitk.Euler3DTransform(), folder / "whole.tfm")
    scene = SlicerApp().scene
    for kind in ("mrk.json", "fcsv"):
        write_points(scene, np.eye(3), folder / f"whole.{kind}")
    torch.manual_seed(0)
    save_network(folder / "whole.safetensors", BSAFusion(Metadata(size=32)))
    torch.save(to_released(PublishedBSAFusion()), folder / "whole.pkl")


def read(path: Path, folder: Path) -> None:
    """Read a file as its name says, then run a volume as fixed or moving, and weights on a stack."""
    if path.name.endswith((".mrk.json", ".fcsv")):
        read_points(path)
    elif path.suffix in (".safetensors", ".pkl"):
        network = load_network(path)
        Runner(network).register([random_stack(1, 32, 32)])
    elif path.name.endswith(".pet.dcm"):
        shutil.copy(path, folder / "series" / "given.dcm")  # of which it is one slice
        read_scan(folder / "series", ("pet",))
    elif path.suffix == ".dcm":
        read_scan(path, tuple(MODALITIES))
    else:
        image, whole = read_volume(path), sitk.ReadImage(str(folder / "whole.nrrd"))
        settings = Settings("pet", prealignment="none", device="cpu", weights=folder / "whole.safetensors")
        pair = (image, whole) if path.stat().st_size % 2 else (whole, image)
        report = register_and_fuse(*pair, settings).report
        json.dumps(report.as_dict(), allow_nan=False)


def serve(folder: Path) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (gibibytes * 2**30,) * 2)
    for line in sys.stdin:
        seconds, path = line.strip().split(" ", 1)
        signal.setitimer(signal.ITIMER_PROF, float(seconds))
        signal.alarm(patience * int(seconds))
        try:
            read(Path(path), folder)
            outcome = "read"
        except FusionError:
            outcome = "refused"
        except Exception as error:  # which is what this is about
            outcome = f"failed: {type(error).__name__}: {error}".replace("\n", " ")[:300]
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        answers.write(outcome + "\n")
        answers.flush()


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    answers = sys.stdout
    make(folder) if what == "make" else serve(folder)
