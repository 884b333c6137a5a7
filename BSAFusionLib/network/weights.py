"""Reads and writes weights: our own safetensors files, and the released checkpoints."""

import json
import os
from dataclasses import asdict
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.factory import make_network
from BSAFusionLib.network.fast.form import PRECISIONS, inference_form
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.metadata import DEEP, PUBLISHED, Metadata
from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionLib.network.published.key_names import SECTIONS
from BSAFusionLib.network.weights_file import card_of, read_parts, sha256

Tensors = dict[str, torch.Tensor]


def load_network(path: Path | str, device: torch.device | str = "cpu") -> FusionNetwork:
    """Load the network of a weights file, in evaluation mode, float32.

    Args:
        path: Our own `.safetensors`, whose metadata names the convention, or a released `.pkl` with its four state
            dicts; that may also be in the parts `...aa`, `...ab`, by the name of the first part or of the whole. Only
            tensors are ever unpickled. Where a card `<name>.json` lies beside the file, its SHA-256 must match.
        device: Where to put the network.

    Raises:
        FusionError: There is no such file; it is neither kind, cut short, or does not match its card; a tensor is
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
    network = make_network(metadata)
    load_state(network, tensors, path)
    return network.to(device).eval()


def load_inference_network(path: Path | str, precision: str = "float32") -> FusionNetwork:
    """Load a network in the inference form; the last two are cached until their files change.

    Args:
        path: As of `load_network`.
        precision: A key of `PRECISIONS`.

    Raises:
        FusionError: As `load_network` does.
    """
    return _cached_network(Path(path), read_parts(Path(path)), precision)


@lru_cache(maxsize=2)
def _cached_network(path: Path, content: bytes, precision: str) -> FusionNetwork:
    return inference_form(load_network(path), PRECISIONS[precision])


def save_network(path: Path | str, network: FusionNetwork, dtype: torch.dtype = torch.float16) -> None:
    """Write a network's weights and metadata as safetensors, to a new file that then replaces `path`."""
    path = Path(path)
    header = {name: str(value) for name, value in asdict(network.metadata).items()}
    unfinished = path.with_suffix(".unfinished")
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in network.state_dict().items()}
    unfinished.write_bytes(save(tensors, header))  # save_file would let nobody else read it, whatever the umask
    unfinished.replace(path)


def from_released(sections: dict[str, Tensors], path: Path) -> Tensors:
    """Rename the tensors of a released checkpoint's four state dicts to ours.

    Raises:
        FusionError: A section is missing.
    """
    for section in SECTIONS:
        if not isinstance(sections, dict) or not isinstance(sections.get(section), dict):
            raise FusionError(f"{path} has no {section}, so it is not a released BSAFusion checkpoint.")
    released = {f"{section}.{key}": tensor for section in SECTIONS for key, tensor in sections[section].items()}
    with torch.device("meta"):
        network = PublishedBSAFusion()
    names = {network.checkpoint_key(name): name for name in network.state_dict()}
    return {names.get(key, key): tensor for key, tensor in released.items()}


def load_state(network: FusionNetwork, tensors: Tensors, path: Path) -> None:
    """Fill a network with tensors, all of them and nothing else.

    Args:
        network: Of the layout that the tensors are for.
        tensors: By our names.
        path: The file that they came from, for messages.

    Raises:
        FusionError: A tensor is missing, unknown, not a tensor, or of a wrong shape; the message names it.
    """
    expected = network.state_dict()
    for name, tensor in expected.items():
        given, key = tensors.get(name), network.checkpoint_key(name)
        if not isinstance(given, torch.Tensor):
            raise FusionError(f"{path} lacks the tensor {key}; the file is damaged or of another network.")
        if given.shape != tensor.shape:
            shapes = f"{tuple(given.shape)} instead of {tuple(tensor.shape)}"
            raise FusionError(f"The tensor {key} in {path} has the shape {shapes}; choose other weights.")
        if not torch.isfinite(given).all():
            raise FusionError(f"The tensor {key} in {path} has values that are not finite; get the file again.")
    for name in tensors:
        if name not in expected:
            raise FusionError(f"{path} has a tensor {name} that this network does not know; choose other weights.")
    network.load_state_dict(tensors)


def read_safetensors(path: Path) -> tuple[Tensors, Metadata]:
    """Read the tensors, as float32, and the metadata of one of our own files.

    Raises:
        FusionError: The file cannot be read, or does not say which network it is for.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dict)
        fusion = header.get("fusion", DEEP)  # files of earlier versions do not name it
        return tensors, Metadata(header["convention"], header["modality"], int(header["size"]), fusion)
    except (SafetensorError, OSError) as error:
        raise FusionError(f"{path} cannot be read as safetensors ({error}); get the file again.") from error
    except (KeyError, ValueError) as error:
        raise FusionError(f"{path} does not say which BSAFusion network it is for; choose another file.") from error


def load_torch_file(path: Path, content: bytes | None = None) -> dict[str, Any]:
    """Read a file of torch.save, of which only tensors and plain values are unpickled.

    Args:
        path: The file, for messages, too.
        content: Its bytes, if they have been read already.

    Raises:
        FusionError: It is cut short, damaged, or holds anything else.
    """
    content = read_parts(path) if content is None else content
    try:
        loaded: dict[str, Any] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its damaged input leads to
        raise FusionError(
            f"{path} cannot be read as a checkpoint: it is cut short, damaged, or holds more than weights."
        ) from error
    return loaded


def read_card(path: Path) -> dict[str, Any] | None:
    """Return the card `<name>.json` beside a weights file, or None without one.

    Raises:
        FusionError: The card cannot be read, or has no SHA-256.
    """
    card = card_of(path)
    if not os.path.isfile(card):
        return None
    try:
        content: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
        content["sha256"]  # without it, the file is no card
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise FusionError(f"The card {card} of the weights cannot be read; get both files again.") from error
    return content


def check_card(path: Path, content: bytes) -> None:
    """Compare a weights file with the SHA-256 in its card, if it has one.

    Raises:
        FusionError: They differ, or the card cannot be read.
    """
    card = read_card(path)
    if card is not None and card["sha256"] != sha256(content):
        raise FusionError(f"{path} is not the file that its card {path.stem}.json describes; get both files again.")
