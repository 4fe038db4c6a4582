"""Where records come from: a watched directory, or a pipe. Only here are telemetry files and pipes opened."""
