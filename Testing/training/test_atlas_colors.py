"""The level that a color of the atlas stands for."""

import numpy as np
import pytest
import torch

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionResearch.training.atlas_colors import levels
from BSAFusionResearch.training.slice_pairs import load_pairs
from BSAFusionResearch.training.traits import TRAINING_FILES, brightness_of, traits_of

colored = [name for name in MODALITIES if traits_of(name).atlas_colors]


@pytest.mark.parametrize("modality", colored)
def test_levels_rise_along_the_color_map(modality):
    points = np.array(traits_of(modality).atlas_colors)
    shares = np.linspace(0, 1, 41)
    rgb = np.stack([np.interp(shares * points[-1, 0], points[:, 0], points[:, c]) for c in (1, 2, 3)], axis=1)
    found = levels(rgb.round().astype(np.uint8)[None], modality)
    assert found.shape == (1, 41)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found[0], 255 * shares, atol=2)


def test_pet_is_read_where_luminance_falls():
    yellow_orange_red = levels(np.array([[255, 255, 0], [255, 128, 0], [255, 0, 0]], np.uint8), "pet")
    np.testing.assert_allclose(yellow_orange_red, np.array([63, 79, 95]) * 255 / 127, atol=1)


def test_a_color_beside_the_map_stands_for_the_nearest_on_it():
    on, beside = levels(np.array([[0, 0, 64], [3, 2, 65]], np.uint8), "pet")
    assert abs(int(on) - int(beside)) <= 1


def test_colored_pairs_are_registered_by_level_and_fused_by_luminance(tmp_path):
    rgb = np.zeros((2, 32, 32, 3), np.uint8)
    rgb[:, 8:24, 8:24] = 255, 255, 0
    rgb[:, 12:20, 12:20] = 255, 0, 0
    grey = np.zeros((2, 32, 32), np.uint8)
    np.savez(tmp_path / "pet.npz", mri=grey, moving=rgb, id=np.array(["1001", "2001"]), split=np.array(["train"] * 2))
    pairs, _ = load_pairs(tmp_path, "pet", 0)
    registered = pairs.batch(torch.tensor([0]), torch.device("cpu"))[1]
    fused = pairs.batch(torch.tensor([0]), torch.device("cpu"), shown=True)[1]
    assert registered[0, 0, 16, 16] > registered[0, 0, 9, 9] > 0.4
    assert 0 < fused[0, 0, 16, 16] < fused[0, 0, 9, 9]


def test_colors_of_a_modality_without_atlas_colors_are_rejected():
    with pytest.raises(FusionError, match="has no atlas_colors"):
        levels(np.zeros((1, 2, 3), np.uint8), "ct")


def test_every_modality_has_a_training_file_and_only_those_and_the_mri_have():
    assert {path.stem for path in TRAINING_FILES.glob("*.json")} == {*MODALITIES, "mri"}
    assert {name: brightness_of(name) for name in (*MODALITIES, "all")} == {
        "ct": 3.0,
        "pet": 0.1,
        "spect": 0.1,
        "all": 0.1,
    }


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read"), ("{", "not valid"), ('{"sharpness": 1}', "not valid")]
)
def test_a_training_file_that_is_missing_or_wrong_is_rejected(content, message, tmp_path):
    if content is not None:
        (tmp_path / "mra.json").write_text(content)
    with pytest.raises(FusionError, match=message):
        traits_of("mra", tmp_path)
