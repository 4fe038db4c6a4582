"""The ways to the broker: the only room in which the native MQTT client is imported.

Each module fulfils `weir.core.ports.Transport`, or serves one that does. None of them decides what is sent, or when.
"""
