"""The control socket: how commands speak to a forwarder that runs."""
