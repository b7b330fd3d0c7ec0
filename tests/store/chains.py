"""What must hold between the SQLite store's tables, whatever was done to it."""

import sqlite3

from headwater.store.sqlite import logs


def assert_whole(db: sqlite3.Connection) -> None:
    """Each log is one chain from its top to its first entry, marked where it should be; nothing else is there."""
    (orphans,) = db.execute("SELECT count(*) FROM entries WHERE run NOT IN (SELECT n FROM runs)").fetchone()
    assert orphans == 0, "entries of no run"
    assert (
        db.execute("SELECT run FROM tops ORDER BY run").fetchall()
        == db.execute("SELECT n FROM runs ORDER BY n").fetchall()
    )
    for run, *top in db.execute("SELECT run, newest, seq, tag FROM tops").fetchall():
        below = [0, 0, 0]
        log = "SELECT n, seq, tag, prev, marked FROM entries WHERE run = ? ORDER BY n"
        for n, seq, tag, prev, marked in db.execute(log, (run,)):
            assert (prev, seq > below[1]) == (below[0], True), f"entry {n} does not follow {below}"
            assert bool(marked) == (seq // logs.BLOCK_SEQS > below[1] // logs.BLOCK_SEQS), f"the mark of entry {n}"
            below = [n, seq, tag]
        assert top == below, "the top is another than the newest entry"
