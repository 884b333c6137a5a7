"""The request for a run: two volumes, the choices, and the nodes to fill."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import slicer

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.convert import transform_from_node
from BSAFusionLib.mrml.placement import is_placed_by
from BSAFusionLib.settings import AUTO, Settings


@dataclass(frozen=True)
class Outputs:
    """The nodes that a run fills or creates, and the landmarks that it measures.

    Attributes:
        fusedVolume: Node to fill with the fused volume; None creates one, as for the other nodes.
        gridTransform: Node to fill with the deformation.
        registeredVolume: Node to fill with the registered volume.
        makeRegistered: Create a registered volume where no node is given for it.
        fixedLandmarks: Points on the fixed volume at its present place.
        movingLandmarks: The same points on the moving volume, in the same order; the report then has their distances
            before and after registration.
        split: Also make the two parts of the transform as nodes: the rigid one, and what the network adds.
        rigidTransform: Node to fill with the rigid part, where `split` asks for it; None creates one.
        networkTransform: Node to fill with what the network adds.
        makeExpectedError: Also make a volume of the expected error, in mm, where the weights are calibrated.
        expectedErrorVolume: Node to fill with it; removed where a former run filled it and it is not known now.
    """

    fusedVolume: slicer.vtkMRMLScalarVolumeNode | None = None
    gridTransform: slicer.vtkMRMLGridTransformNode | None = None
    registeredVolume: slicer.vtkMRMLScalarVolumeNode | None = None
    makeRegistered: bool = True
    fixedLandmarks: slicer.vtkMRMLMarkupsNode | None = None
    movingLandmarks: slicer.vtkMRMLMarkupsNode | None = None
    split: bool = False
    rigidTransform: slicer.vtkMRMLLinearTransformNode | None = None
    networkTransform: slicer.vtkMRMLGridTransformNode | None = None
    makeExpectedError: bool = False
    expectedErrorVolume: slicer.vtkMRMLScalarVolumeNode | None = None

    def nodes(self) -> list[slicer.vtkMRMLNode | None]:
        """Return the nodes to fill, volumes and transforms; None for one to create."""
        volumes = self.fusedVolume, self.registeredVolume, self.expectedErrorVolume
        return [*volumes, self.gridTransform, self.rigidTransform, self.networkTransform]


@dataclass(frozen=True)
class Request:
    """The arguments of `BSAFusionLogic.process`, with settings and outputs complete."""

    fixedVolume: slicer.vtkMRMLScalarVolumeNode | None
    movingVolume: slicer.vtkMRMLScalarVolumeNode | None
    settings: Settings
    outputs: Outputs
    carry: tuple[slicer.vtkMRMLTransformableNode, ...]
    fixedMask: slicer.vtkMRMLDisplayableNode | None = None
    frames: str | None = None

    @classmethod
    def of(
        cls,
        fixedVolume: slicer.vtkMRMLScalarVolumeNode | None,
        movingVolume: slicer.vtkMRMLScalarVolumeNode | None,
        settings: Settings | None = None,
        outputs: Outputs | Mapping[str, Any] | None = None,
        carry: Sequence[slicer.vtkMRMLTransformableNode] = (),
        fixedMask: slicer.vtkMRMLDisplayableNode | None = None,
        frames: str | None = None,
        **choices: Any,
    ) -> "Request":
        """Combine settings, outputs and single choices, also under the names of version 0.4.

        Raises:
            FusionError: A choice is invalid.
            TypeError: An argument is unknown or of the wrong kind.
        """
        if settings is not None and not isinstance(settings, Settings):
            raise TypeError("settings must be a Settings; give the nodes to fill as outputs=Outputs(...).")
        choices, renamed = _split(choices)
        outputs = replace(outputs if isinstance(outputs, Outputs) else Outputs(**(outputs or {})), **renamed)
        initial = choices.get("prealignment")
        if isinstance(initial, slicer.vtkMRMLTransformNode):
            if movingVolume is not None and is_placed_by(movingVolume, initial):
                raise FusionError(
                    f"The moving volume lies under '{initial.GetName()}' already; choose another one or none."
                )
            choices["prealignment"] = transform_from_node(initial)
        settings = replace(settings or Settings(AUTO), **choices)
        return cls(fixedVolume, movingVolume, settings, outputs, tuple(carry), fixedMask, frames)


def camelCase(name: str) -> str:
    """Convert a field name of Settings to Slicer's style: slice_axis becomes sliceAxis."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _split(choices: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the choices by the fields of Settings and of Outputs; warn about deprecated names."""
    of_settings = {field.name for field in fields(Settings)}
    deprecated = {camelCase(name): name for name in of_settings}
    of_outputs = {field.name for field in fields(Outputs)}
    settings, outputs = {}, {}
    for name, value in choices.items():
        if name in of_settings:
            settings[name] = value
        elif name in deprecated:
            _warn(name, f"{deprecated[name]}=...")
            settings[deprecated[name]] = value
        elif name == "split":
            outputs[name] = value
        elif name in of_outputs:
            _warn(name, f"outputs=Outputs({name}=...)")
            outputs[name] = value
        else:
            raise TypeError(f"There is no argument {name!r}; the choices are {', '.join(sorted(of_settings))}.")
    return settings, outputs


def _warn(name: str, instead: str) -> None:
    warnings.warn(
        f"{name}=... is deprecated and will be removed in the next version; use {instead}",
        DeprecationWarning,
        stacklevel=5,
    )
