"""What Weir tells people: the log, the status document, the tables and the live line of the terminal."""
