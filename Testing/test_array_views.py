"""No array looks into an image that nobody holds: SimpleITK frees its voxels, and the array shows what comes next."""

import ast
from pathlib import Path

import pytest

repository = Path(__file__).resolve().parents[1]
rooms = "BSAFusionLib", "BSAFusionResearch", "BSAFusion", "Testing"
sources = [path for room in rooms for path in sorted((repository / room).rglob("*.py"))]


@pytest.mark.parametrize("path", sources, ids=lambda path: str(path.relative_to(repository)))
def test_a_view_is_taken_of_an_image_with_a_name(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    views = [call for call in calls if ast.unparse(call.func).endswith("GetArrayViewFromImage")]
    assert [ast.unparse(call) for call in views if isinstance(call.args[0], ast.Call | ast.BinOp | ast.Subscript)] == []
