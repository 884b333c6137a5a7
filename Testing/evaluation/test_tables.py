"""Tables are Markdown and line up."""

from BSAFusionResearch.evaluation.tables import markdown_table, mean_and_spread


def test_a_table_lines_up_and_is_markdown():
    assert markdown_table(["CT", "before", "ours"], [["SSIM", "0.5", ""], ["Q", "12.25", "1"]]).splitlines() == [
        "| CT   | before | ours |",
        "| ---- | -----: | ---: |",
        "| SSIM |    0.5 |      |",
        "| Q    |  12.25 |    1 |",
    ]


def test_a_row_has_as_many_decimals_as_its_largest_mean_needs():
    assert mean_and_spread([0.5, 1.25], [0.1, 0.2]) == ["0.500 (0.100)", "1.250 (0.200)"]
    assert mean_and_spread([12.0, None, 1.234], [1.0, None, 0.5]) == ["12.00 (1.00)", "", "1.23 (0.50)"]
    assert mean_and_spread([4000.0, 12.0], [1.0, 1.0]) == ["4000 (1)", "12 (1)"]
