"""What the module's panel is made of; Qt and MRML, on Slicer's main thread."""
