"""Synthetic road scenes: the data of `intarsia demo` and of the tests."""
