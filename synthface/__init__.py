"""synthface: face-recognition training sets of people who do not exist."""
