"""A folder of results in the browser, drawn by Slicer's own views."""
