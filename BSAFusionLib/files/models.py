"""Surface models as Slicer saves them: .vtp and .stl."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.paths import readable_by_itk, require_file, writable_by_itk

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData

MODEL_SUFFIXES = (".vtp", ".stl")
SPACE = "SPACE"  # name of a VTP file's field, and of the word in an STL file's header, for the coordinate system
STL_HEADER = "3D Slicer output. SPACE=LPS"


def move_model(path: Path, result: Path, move: Callable[[np.ndarray], np.ndarray]) -> None:
    """Move the points of a surface model, and write it in LPS.

    A file that does not state its coordinate system is in LPS, as Slicer takes it (vtkMRMLModelStorageNode).

    Args:
        path: A .vtp or .stl file.
        result: File of the same kind.
        move: Carries points (n, 3), mm, LPS.

    Raises:
        FusionError: There is no such file, it holds no surface, VTK is missing, or the result cannot be written.
    """
    try:
        # Here, since the base installation has no VTK.
        from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

        from BSAFusionLib.files.vtk_messages import quiet
    except ImportError as error:
        raise FusionError("Surface models need VTK; install it with: pip install 'bsafusion[models]'") from error
    require_file(path)
    with quiet(), readable_by_itk(path) as name:  # VTK, too, takes UTF-8 only
        surface, in_ras = _read(Path(name))
    if surface.GetNumberOfPoints() == 0:
        raise FusionError(f"The file {path} holds no surface; give a .vtp or .stl file with points.")
    flip = np.array([-1.0, -1.0, 1.0]) if in_ras else np.ones(3)
    points = move(vtk_to_numpy(surface.GetPoints().GetData()) * flip)  # type: ignore[no-untyped-call]
    surface.GetPoints().SetData(numpy_to_vtk(points, deep=True))  # type: ignore[no-untyped-call]
    surface.GetPointData().SetNormals(None)  # they belong to the surface as it was
    surface.GetCellData().SetNormals(None)
    with writable_by_itk(result) as name:
        written = _write(surface, Path(name))
    if not written:
        raise FusionError(f"The file {result} could not be written; see that the disk has room.")


def _read(path: Path) -> tuple["vtkPolyData", bool]:
    """Return the surface of a file and whether it is in RAS."""
    from vtkmodules.vtkIOGeometry import vtkSTLReader
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    reader = vtkSTLReader() if _is_stl(path) else vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    surface = reader.GetOutput()
    if isinstance(reader, vtkSTLReader):
        return surface, f"{SPACE}=RAS" in (reader.GetHeader() or "")
    space_tag = surface.GetFieldData().GetAbstractArray(SPACE)
    return surface, space_tag is not None and "RAS" in space_tag.GetValue(0)


def _write(surface: "vtkPolyData", path: Path) -> bool:
    """Write a surface in LPS, and say so in the file as Slicer does; return whether that succeeded."""
    from vtkmodules.vtkCommonCore import vtkStringArray
    from vtkmodules.vtkIOGeometry import vtkSTLWriter
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    writer = vtkSTLWriter() if _is_stl(path) else vtkXMLPolyDataWriter()
    if isinstance(writer, vtkSTLWriter):
        writer.SetFileTypeToBinary()
        writer.SetHeader(STL_HEADER)
    else:
        space = vtkStringArray()
        space.SetName(SPACE)
        space.InsertNextValue("LPS")
        surface.GetFieldData().RemoveArray(SPACE)
        surface.GetFieldData().AddArray(space)
    writer.SetInputData(surface)
    writer.SetFileName(str(path))
    return bool(writer.Write())


def _is_stl(path: Path) -> bool:
    return path.suffix.lower() == ".stl"
