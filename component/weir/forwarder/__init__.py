"""The loop that takes records from the sources to the broker: settle, admit, release, commit, wait."""
