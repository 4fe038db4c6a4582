"""Weir: forwards telemetry from an edge device to AWS IoT Core and never loses count."""

__version__ = "0.1.0"
