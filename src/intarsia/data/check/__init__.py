"""The dataset doctor: every file is read once, and what is found is said with its mend."""
