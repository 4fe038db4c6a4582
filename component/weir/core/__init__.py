"""Decisions only: values in, values out. No I/O, no clock, no threads, no randomness, no logging."""
