"""Pictures of any size: read window by window, written row by row, with their place in the world."""
