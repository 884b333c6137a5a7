"""The pose of a head in one image, estimated by a small network that knows heads."""
