"""The tables of a cluster, and their version. Times are the database's; slots and other instants of jobs are texts.

A slot is the instant in UTC, such as `2026-11-22T01:00:00Z`; a run by hand has `manual-` and its run id in its place.
Texts are compared byte by byte, so they sort as the instants do, except for two within one second.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql, postgresql

from jobscheduler.cluster.database_time import DatabaseInstant

VERSION = 1  # of the tables below

KNOWN_VERSIONS = (VERSION,)  # versions that a service uses

MANUAL = "manual-"  # what stands before the run id in the place of a slot; it sorts after every instant

_ASCII: dict[str, Any] = {"charset": "ascii", "collation": "ascii_bin"}
_UNICODE: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}


def _word(length: int) -> String:
    """Return the type of an identifier: ASCII, compared byte by byte in every database."""
    plain = String(length).with_variant(postgresql.VARCHAR(length, collation="C"), "postgresql")
    return plain.with_variant(mysql.VARCHAR(length, **_ASCII), "mysql")


_NAME = String(255).with_variant(mysql.VARCHAR(255, **_UNICODE), "mysql")
_TEXT = Text().with_variant(mysql.MEDIUMTEXT(**_UNICODE), "mysql")
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_ID, _SLOT, _RUN_ID, _NODE = _word(128), _word(48), _word(32), _word(64)
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}

METADATA = MetaData()

VERSIONS = Table(  # one row: the version of all tables
    "js_version",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("made_at", DatabaseInstant),
    **_OPTIONS,
)

LEASE = Table(  # one row: the leader, its term, up to when slots are decided, and the seed of `jitter`
    "js_lease",
    METADATA,
    Column("name", _word(32), primary_key=True),
    Column("holder", _NODE, nullable=False),
    Column("instance", _RUN_ID, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("expires_at", DatabaseInstant),
    Column("settled", _SLOT),
    Column("seed", _RUN_ID, nullable=False),
    **_OPTIONS,
)

RUNS = Table(  # the account: a row for each slot, for each run by hand, and for each range of missed slots
    "js_run",
    METADATA,
    Column("job_id", _ID, primary_key=True),
    Column("slot", _SLOT, primary_key=True),
    Column("run_id", _RUN_ID, nullable=False, unique=True),
    Column("state", _word(8), nullable=False),
    Column("status", _word(8)),
    Column("reason", _word(32)),
    Column("last_slot", _SLOT),  # the last slot of a range
    Column("range_of", _ID),  # the job of a range, so that its ranges are found without its other rows
    Column("slots", Integer, nullable=False),
    Column("corrects", _word(8)),  # `clock`: the slot was missed before, because a clock was wrong
    Column("attempt", Integer, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("queue", _NODE),
    Column("node", _NODE),
    Column("instance", _RUN_ID),
    Column("begun_by", _RUN_ID),  # the one request that has begun this attempt
    Column("trigger", _word(64)),
    Column("by", _NAME),
    Column("definition", _TEXT),  # emptied when the row is final
    Column("queued_at", DatabaseInstant),
    Column("published_at", DatabaseInstant),
    Column("not_before", DatabaseInstant),
    Column("started_at", DatabaseInstant),
    Column("beat_at", DatabaseInstant),
    Column("stop", _word(16)),
    Column("stop_by", _NAME),
    Column("ended_at", DatabaseInstant),
    Column("exit_code", Integer),
    Column("duration", Double),
    Column("cpu", Double),
    Column("max_rss", BigInteger),
    Column("details", _TEXT),
    Column("output", _TEXT),
    Column("recorded_at", DatabaseInstant),
    Index("js_run_state", "state", "queue", "queued_at"),
    Index("js_run_range", "range_of", "last_slot"),
    Index("js_run_slot", "slot"),
    Index("js_run_last_slot", "last_slot"),
    Index("js_run_recorded_at", "recorded_at"),
    **_OPTIONS,
)

JOBS = Table(  # what outlives the rows of a job
    "js_job",
    METADATA,
    Column("job_id", _ID, primary_key=True),
    Column("last_slot", _SLOT, nullable=False),  # every slot up to it is over; its row may be gone
    **_OPTIONS,
)

NODES = Table(  # which services and workers are alive, and what they have loaded
    "js_node",
    METADATA,
    Column("node", _NODE, primary_key=True),
    Column("role", _word(16), primary_key=True),
    Column("queue", _NODE, primary_key=True),
    Column("instance", _RUN_ID, nullable=False),
    Column("host", _NAME),
    Column("boot", _word(128)),
    Column("pid", BigInteger),
    Column("slots", Integer),
    Column("beat_at", DatabaseInstant),
    Column("version", _word(32)),
    Column("tzdata", _word(32)),
    Column("jobset", _word(64)),
    Column("skew", Double),
    **_OPTIONS,
)

REQUESTS = Table(  # what people ask of a service that stands by, for the leader to do
    "js_request",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("token", _RUN_ID, nullable=False, unique=True),
    Column("verb", _word(16), nullable=False),
    Column("arguments", _TEXT, nullable=False),
    Column("by", _NAME),
    Column("node", _NODE, nullable=False),
    Column("state", _word(12), nullable=False),
    Column("term", BigInteger),
    Column("asked_at", DatabaseInstant),
    Column("answer", _TEXT),
    Column("answered_at", DatabaseInstant),
    Index("js_request_state", "state"),
    **_OPTIONS,
)

STATE = Table(  # how the jobs and their pauses stand, in lines of the log: a full checkpoint, and the changes after it
    "js_state",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("kind", _word(8), nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("lines", _TEXT, nullable=False),
    Column("written_at", DatabaseInstant),
    Index("js_state_kind", "kind"),
    **_OPTIONS,
)
