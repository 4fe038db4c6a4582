"""The tables of the store, version 1.

Owns the SQL that makes them, the names of the counter columns, and the law as one statement. Within a major version of
Weir tables and columns are only added.

    store       one row: the epoch and what is true of the store as a whole
    stream      one row a stream: its counters, and the positions of the files it reads just now; so a commit with
                nothing to store writes one page
    file        one row for each generation of a file: who it is, and its position once it is not read any more; its id
                is never used again, since rows of the quarantine go on naming it
    chunk       one row a span that is pending: immutable; its id is stream and order of arrival
    cut         what is gone of a chunk; the only part of a backlog that changes
    loss        what was dropped, by stream, topic and reason
    quarantine  one row a record that was set aside, with the name of its file, which may be forgotten by then; its id
                is never used again, since people name entries by it. `not_kept` of `store` counts those without a row

`crc` is the checksum of all else in the row. `writes` of `store` counts the transactions that no stream counts, so that
it and all `commits` together number the transactions of an epoch.
"""

from __future__ import annotations

import re

from weir.core.accounting import COUNTERS, ENDS

VERSION = 1
PAGE_BYTES = 2048  # half of the usual: what is left empty around counters and after a chunk is written all the same
APPLICATION_ID = 0x57656972  # "Weir", so that file(1) and we know whose database it is

STREAM_SHIFT = (
    40  # a chunk's id is stream << 40 | seq: one range of ids a stream, in order of arrival, without an index
)
SEQ_MASK = (1 << STREAM_SHIFT) - 1


def column(counter: str) -> str:
    """Give the column of a counter: `dropped.queueFullFront` is `dropped_queue_full_front`."""
    return re.sub(r"([A-Z])", r"_\1", counter.replace(".", "_")).lower()


COLUMNS = tuple(column(counter) for counter in COUNTERS)

SCHEMA = f"""
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch TEXT NOT NULL, epoch_since REAL NOT NULL,
    clean INTEGER NOT NULL, boot TEXT NOT NULL,
    possible_twins INTEGER NOT NULL DEFAULT 0, state_lost INTEGER NOT NULL DEFAULT 0,
    thing TEXT NOT NULL DEFAULT '', duplicate_bound INTEGER NOT NULL DEFAULT 0,
    unanswered INTEGER NOT NULL DEFAULT 0, bytes_written INTEGER NOT NULL DEFAULT 0,
    not_kept INTEGER NOT NULL DEFAULT 0, writes INTEGER NOT NULL DEFAULT 0, crc INTEGER
) STRICT;
CREATE TABLE stream (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, mode TEXT, commits INTEGER NOT NULL DEFAULT 0,
    updated REAL NOT NULL DEFAULT 0,
    sequence INTEGER NOT NULL DEFAULT 0, backlog_bytes INTEGER NOT NULL DEFAULT 0,
    {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in COLUMNS)},
    positions TEXT NOT NULL DEFAULT '[]', crc INTEGER
) STRICT;
CREATE TABLE file (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, name BLOB NOT NULL,
    inode INTEGER NOT NULL, birth INTEGER, head BLOB NOT NULL, head_length INTEGER NOT NULL,
    generation INTEGER NOT NULL, format TEXT NOT NULL, gone_since REAL,
    position INTEGER NOT NULL, tail BLOB NOT NULL, beyond TEXT NOT NULL, rungs TEXT NOT NULL, crc INTEGER
) STRICT;
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, n INTEGER NOT NULL, file INTEGER NOT NULL, "offset" INTEGER NOT NULL, at REAL NOT NULL,
    crc INTEGER NOT NULL, ends BLOB NOT NULL, extents BLOB, body BLOB NOT NULL
) STRICT;
CREATE INDEX chunk_file ON chunk (file) WHERE file > 0;
CREATE TABLE cut (
    id INTEGER PRIMARY KEY, removed INTEGER NOT NULL, settled TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0, crc INTEGER
) STRICT;
CREATE TABLE loss (
    stream INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
    first REAL NOT NULL, last REAL NOT NULL, records INTEGER NOT NULL, bytes INTEGER NOT NULL, crc INTEGER,
    PRIMARY KEY (stream, topic, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL, stream INTEGER NOT NULL, at REAL NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL,
    topic TEXT NOT NULL, file INTEGER NOT NULL, file_name BLOB NOT NULL, place INTEGER NOT NULL, size INTEGER NOT NULL,
    digest BLOB NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

# What version 1 has got since it was first used: older stores get it when they are opened.
ADDED = (
    "ALTER TABLE store ADD COLUMN writes INTEGER NOT NULL DEFAULT 0",
    *(f"ALTER TABLE {table} ADD COLUMN crc INTEGER" for table in ("store", "stream", "file", "cut", "loss")),
)
NUMBER = "SELECT writes + (SELECT coalesce(sum(commits), 0) FROM stream) FROM store"

# The law in full: what the counters say is gone, against what the rows of the backlog hold. One row a stream; the law
# holds where `unaccounted` and `miscounted` are both 0.
LAW = f"""
SELECT name,
       read - ({" + ".join(column(counter) for counter in ENDS)}) - held AS unaccounted,
       pending - held AS miscounted
FROM (SELECT stream.*,
             (SELECT coalesce(sum(n), 0) FROM chunk
               WHERE chunk.id BETWEEN stream.id << {STREAM_SHIFT} AND (stream.id << {STREAM_SHIFT}) + {SEQ_MASK})
           - (SELECT coalesce(sum(removed), 0) FROM cut
               WHERE cut.id BETWEEN stream.id << {STREAM_SHIFT} AND (stream.id << {STREAM_SHIFT}) + {SEQ_MASK}) AS held
        FROM stream)
"""
