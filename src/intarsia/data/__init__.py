"""Data: files -> pairs of image and index mask -> batches."""
