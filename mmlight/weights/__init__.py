"""Weights that others have published: a catalogue, downloads, and key maps."""
