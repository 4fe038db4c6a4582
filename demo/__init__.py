"""The demonstration: the main job on this machine, with a real broker and real faults, and the account at its end.

Run as `python -m demo`, or `make demo`. Not on the device: nothing here is part of the component.
"""
