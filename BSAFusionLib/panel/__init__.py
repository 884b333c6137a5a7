"""The module's panel, in Qt and MRML, on Slicer's main thread."""
