"""Where the inputs of a run lie when it begins, and whether its outcome still fits them when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.placement import (
    GRIDS_APART_MM,
    ijk_to_ras,
    left_result,
    lies_under_result,
    parent_before,
    parent_to_world,
)


@dataclass(frozen=True)
class Places:
    """The places of a run's inputs in a scene, in which the user works on during the run.

    The outcome fits the fixed volume where it lies in the world, and the moving volume's own coordinates. So a parent
    of the moving volume may move; to harden it would apply it twice.

    Attributes:
        fixed: The fixed volume, and the matrix from its voxels to the world, 4 x 4, mm, RAS.
        moving: The moving volume, and the matrix from its voxels to its own coordinates, 4 x 4, mm, RAS.
        carried: Other nodes that are to move along, and the parent of each, without a former result.
        under_result: The moving volume and those nodes, where they are not left behind by a former result.
    """

    fixed: tuple[slicer.vtkMRMLVolumeNode, np.ndarray]
    moving: tuple[slicer.vtkMRMLVolumeNode, np.ndarray]
    carried: tuple[tuple[slicer.vtkMRMLTransformableNode, slicer.vtkMRMLTransformNode | None], ...]
    under_result: tuple[slicer.vtkMRMLTransformableNode, ...]

    @classmethod
    def of(
        cls,
        fixed: slicer.vtkMRMLVolumeNode,
        moving: slicer.vtkMRMLVolumeNode,
        carried: Sequence[slicer.vtkMRMLTransformableNode],
    ) -> "Places":
        """Return the present places of a run's inputs."""
        return cls(
            (fixed, _voxels_to_world(fixed)),
            (moving, ijk_to_ras(moving)),
            tuple((node, parent_before(node)) for node in carried if node is not moving),
            tuple(node for node in {moving, *carried} if not left_result(node)),
        )

    def check(self) -> None:
        """Check that the outcome still fits all inputs.

        Raises:
            FusionError: One was moved, hardened or put under another transform.
        """
        (fixed, fixed_before), (moving, moving_before) = self.fixed, self.moving
        changed = [node for node, parent in self.carried if parent_before(node) is not parent]
        changed += [node for node in self.under_result if left_result(node)]
        if not np.allclose(ijk_to_ras(moving), moving_before, atol=GRIDS_APART_MM):
            changed.insert(0, moving)
        if lies_under_result(fixed) or not np.allclose(_voxels_to_world(fixed), fixed_before, atol=GRIDS_APART_MM):
            changed.insert(0, fixed)
        if changed:
            raise FusionError(f"'{changed[0].GetName()}' was moved or hardened while it was in use; run again.")


def _voxels_to_world(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    place: np.ndarray = parent_to_world(volume) @ ijk_to_ras(volume)
    return place
