"""The commands: what a person types, what is printed, and with which code the program ends."""
