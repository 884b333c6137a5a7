"""Whole heads whose motion is known come back through a real scene, closer to the truth than the rigid registration."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.geometry.fields import error_mm
from BSAFusionLib.mrml.convert import content_from_image
from BSAFusionLib.mrml.logic import BSAFusionLogic
from BSAFusionLib.mrml.nodes import put_volume
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionResearch.evaluation.known_motion import KnownMotion


def moved_ct(shared):
    """Return the MRI template, the CT template moved by a known motion, and the motion."""
    fixed = read_volume(shared / "data" / "volumes" / "mri_t1.nii.gz")
    aligned = sitk.Cast(read_volume(shared / "data" / "volumes" / "ct.nii.gz"), sitk.sitkFloat32)
    motion = KnownMotion(seed=1, degrees=15.0, mm=20.0, elastic_mm=6.0)
    return fixed, motion.move(aligned, fixed), motion.transform(fixed)


@pytest.mark.slow
def test_the_grid_transform_brings_points_closer_to_the_truth_than_the_initial_transform(scene, shared):
    fixed, moving, truth = moved_ct(shared)
    fixed_node = put_volume(scene, content_from_image(fixed), "MRI")
    moving_node = put_volume(scene, content_from_image(moving), "moving")

    logic = BSAFusionLogic()
    job = logic.prepare(fixed_node, moving_node, modality="ct", device="cpu")
    computed = logic.compute(job)
    filled = logic.fill(job, computed)

    assert computed.result.expected_error is not None and filled.expectedErrorVolume is None  # nobody asked for it

    head = head_mask(fixed)
    before = error_mm(sitk.Transform(3, sitk.sitkIdentity), truth, head)
    searched = computed.result.searched
    points = np.argwhere(sitk.GetArrayViewFromImage(head) > 0)[::97, ::-1]
    from_parent = filled.gridTransform.GetTransformFromParent()
    off, searched_off = [], []
    for point in (fixed.TransformIndexToPhysicalPoint(index.tolist()) for index in points):
        found = np.array(from_parent.TransformPoint(-point[0], -point[1], point[2])) * (-1, -1, 1)
        off.append(np.linalg.norm(found - truth.TransformPoint(point)))
        searched_off.append(np.linalg.norm(np.subtract(searched.TransformPoint(point), truth.TransformPoint(point))))
    assert before > 10
    assert np.mean(searched_off) < 3.5
    assert np.mean(off) < 0.95 * np.mean(searched_off)  # the templates are of different people
