"""Many pictures through one model: reading, network and writing side by side, and a record of what is finished."""
