"""What can be read from a picture is measured where it matters, and told from what cannot be read."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionResearch.evaluation.legibility import measure_legibility
from BSAFusionResearch.evaluation_heads import overlays
from BSAFusionResearch.evaluation_heads.overlays import OverlayPair

random = np.random.default_rng(0)
uptake = np.concatenate([np.zeros(500), random.uniform(0.2, 1, 500)])
mri = random.random(1000)
active = uptake > 0


def test_a_picture_that_shows_each_where_it_belongs_is_read_perfectly():
    picture = np.where(active, np.exp(uptake), 0.5 * mri)
    assert measure_legibility(picture, uptake, mri) == pytest.approx((1, 1))


def test_a_picture_of_the_mri_alone_shows_no_uptake_and_one_of_the_uptake_no_mri():
    shown = measure_legibility(mri, uptake, mri)
    assert abs(shown.uptake) < 0.1 and shown.anatomy == pytest.approx(1)
    shown = measure_legibility(uptake + 0.01 * random.random(1000), uptake, mri)
    assert shown.uptake > 0.99 and abs(shown.anatomy) < 0.1


def test_a_map_that_is_flat_above_a_level_is_told_from_one_that_rises():
    assert measure_legibility(np.minimum(uptake, 0.3) + 1e-6 * mri, uptake, mri).uptake < 0.6


def test_the_heads_of_the_overlays_are_looked_for_before_the_first_pair(tmp_path, monkeypatch, capsys):
    pairs = [OverlayPair("templates, PET", "pet", *[sitk.Image(2, 2, 2, sitk.sitkUInt8)] * 2)]
    measured = []
    monkeypatch.setattr(overlays, "overlay_pairs", lambda *_: pairs)
    monkeypatch.setattr(overlays, "measure_overlay", lambda *_: measured.append(1))
    assert main(["evaluate", "--overlay", "--volumes", str(tmp_path), "--heads", str(tmp_path)]) == 2
    assert measured == []
    assert "13.nii.gz" in capsys.readouterr().err
