"""Weights from and to files: our own safetensors, and the released checkpoints."""

import hashlib
import json
import os
import string
from functools import lru_cache
from io import BytesIO
from itertools import takewhile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.bsafusion import BSAFusion, Metadata
from BSAFusionLib.network.fast.form import inference_form, precisions
from BSAFusionLib.network.released import SECTIONS, released_name
from BSAFusionLib.network.warp import PUBLISHED

Tensors = dict[str, torch.Tensor]


def load_network(path: Path | str, device: torch.device | str = "cpu") -> BSAFusion:
    """The network of a weights file, in evaluation mode, float32, on `device`.

    Takes our own `.safetensors` (whose metadata names the convention) and the released `.pkl` with its four state
    dicts, also as the parts `...aa`, `...ab` that it is handed out in, by the name of the first part or of the whole.
    Nothing but tensors is ever unpickled. Where a card `<name>.json` lies beside the file, its SHA-256 must agree.

    Raises:
        FusionError: there is no such file; it is neither kind, cut short, or not what its card says; a tensor is
            missing, unknown, or of a wrong shape.
    """
    path = Path(path)
    content = read_parts(path)
    check_card(path, content)
    if content[8:9] == b"{":
        tensors, metadata = read_safetensors(path)
    elif content[:2] == b"PK" or content[:1] == b"\x80":
        tensors, metadata = from_released(load_torch_file(path, content), path), Metadata(PUBLISHED)
    else:
        raise FusionError(f"{path} is neither safetensors nor a released checkpoint; choose another weights file.")
    network = BSAFusion(metadata)
    load_state(network, tensors, path)
    return network.to(device).eval()


def kept_network(path: Path | str, precision: str = "float32") -> BSAFusion:
    """As `load_network`, in the inference form; the last ones are kept while their files stay as they are."""
    return _kept(Path(path), read_parts(Path(path)), precision)


@lru_cache(maxsize=2)
def _kept(path: Path, content: bytes, precision: str) -> BSAFusion:
    return inference_form(load_network(path), precisions[precision])


def save_network(path: Path | str, network: BSAFusion, dtype: torch.dtype = torch.float16) -> None:
    """Write the network's weights and metadata as safetensors, beside and then in place."""
    path = Path(path)
    metadata = network.metadata
    header = {"convention": metadata.convention, "modality": metadata.modality, "size": str(metadata.size)}
    unfinished = path.with_suffix(".unfinished")
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, unfinished, header)
    unfinished.replace(path)


def from_released(sections: dict[str, Tensors], path: Path) -> Tensors:
    """The four state dicts of a released checkpoint under our names.

    Raises:
        FusionError: a section or one of its tensors is missing, or there is one that the layout does not know.
    """
    for section in SECTIONS:
        if not isinstance(sections, dict) or not isinstance(sections.get(section), dict):
            raise FusionError(f"{path} has no {section}, so it is not a released BSAFusion checkpoint.")
    released = {f"{section}.{key}": tensor for section in SECTIONS for key, tensor in sections[section].items()}
    with torch.device("meta"):
        names = {released_name(name): name for name in BSAFusion(Metadata(PUBLISHED)).state_dict()}
    return {names.get(key, key): tensor for key, tensor in released.items()}


def load_state(network: BSAFusion, tensors: Tensors, path: Path) -> None:
    """Fill the network with tensors, all of them and nothing else.

    Raises:
        FusionError: a tensor is missing, unknown, not a tensor, or of a wrong shape; it is named.
    """
    own = network.state_dict()

    def named(name: str) -> str:
        return released_name(name) if network.metadata.convention == PUBLISHED else name

    for name, tensor in own.items():
        given = tensors.get(name)
        if not isinstance(given, torch.Tensor):
            raise FusionError(f"{path} lacks the tensor {named(name)}; the file is damaged or of another network.")
        if given.shape != tensor.shape:
            shapes = f"{tuple(given.shape)} instead of {tuple(tensor.shape)}"
            raise FusionError(f"In {path} the tensor {named(name)} has the shape {shapes}; choose other weights.")
        if not torch.isfinite(given).all():
            raise FusionError(f"In {path} the tensor {named(name)} is not finite throughout; get the file anew.")
    for name in tensors:
        if name not in own:
            raise FusionError(f"{path} has a tensor {name} that this network does not know; choose other weights.")
    network.load_state_dict(tensors)


def read_safetensors(path: Path) -> tuple[Tensors, Metadata]:
    """Tensors as float32 and the metadata of one of our own files; FusionError where either cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dict)
        return tensors, Metadata(header["convention"], header["modality"], int(header["size"]))
    except (SafetensorError, OSError) as error:
        raise FusionError(f"{path} cannot be read as safetensors ({error}); get the file anew.") from error
    except (KeyError, ValueError) as error:
        raise FusionError(f"{path} does not say which BSAFusion network it is for; choose another file.") from error


def load_torch_file(path: Path, content: bytes | None = None) -> dict:
    """A file of torch.save, of which nothing but tensors and plain values is unpickled; FusionError otherwise."""
    content = read_parts(path) if content is None else content
    try:
        return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its damaged input leads to
        raise FusionError(
            f"{path} cannot be read as a checkpoint: it is cut short, damaged, or holds more than weights."
        ) from error


def read_parts(path: Path) -> bytes:
    """The bytes of a file, or of the parts `...aa`, `...ab` that it was split into; FusionError if there is none."""
    whole = path.with_name(path.name.removesuffix("aa"))
    suffixes = (first + second for first in string.ascii_lowercase for second in string.ascii_lowercase)
    parts = list(takewhile(os.path.isfile, (whole.with_name(whole.name + suffix) for suffix in suffixes)))
    files = [path] if os.path.isfile(path) and path not in parts else parts
    if not files:
        raise FusionError(f"There is no weights file {path}; choose another, or install the extension anew.")
    try:
        return b"".join(file.read_bytes() for file in files)
    except OSError as error:
        raise FusionError(f"The weights file {path} cannot be read ({error.strerror}).") from error


def sha256(content: bytes) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def check_card(path: Path, content: bytes) -> None:
    """Compare a weights file with the SHA-256 in its card `<name>.json`, if it has one; FusionError if they differ."""
    card = path.with_suffix(".json")
    if not os.path.isfile(card):
        return
    try:
        described = json.loads(card.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise FusionError(f"The card {card} of the weights cannot be read; get both anew.") from error
    if described != sha256(content):
        raise FusionError(f"{path} is not the file that its card {card.name} describes; get both anew.")
