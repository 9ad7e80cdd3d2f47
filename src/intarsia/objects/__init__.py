"""Answers instead of pixels: connected objects, their outlines, counts and areas."""
