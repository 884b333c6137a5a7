"""Show a folder of results in the browser, in Slicer's own views."""
