"""Results of a prediction: of one picture in Python, or as files of many."""
