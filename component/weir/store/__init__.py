"""The SQLite state: backlog, positions, counters, losses, quarantine. The only room that imports sqlite3."""
