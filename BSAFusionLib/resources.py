"""The folder of weights, sample data, icons and the panel's layout."""

from pathlib import Path


def _resource_folder() -> Path:
    """Return `Resources` beside the library (source tree, Slicer) or inside it (installed by pip)."""
    library = Path(__file__).resolve().parent
    inside = library / "Resources"
    return inside if inside.is_dir() else library.parent / "Resources"


RESOURCES = _resource_folder()
MODELS = RESOURCES / "Models"
SAMPLE_DATA = RESOURCES / "SampleData"
