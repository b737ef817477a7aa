"""The tables, as SQLAlchemy Core objects. A change here needs a migration in ``contracts/migrations/versions``."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from contracts.emotions import EMOTIONS

metadata = MetaData()
_UUID = String(36)

sources = Table(
    "sources",
    metadata,
    Column("source_id", _UUID, primary_key=True),
    Column("kind", String(16), nullable=False),  # "file", or "camera": a stream's, under the stream's id
    Column("url", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("kind", "url"),
)

# The camera streams that operators want; a source of kind "camera" appears with a stream's first session.
streams = Table(
    "streams",
    metadata,
    Column("stream_id", _UUID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", String(16), nullable=False),  # contracts.sources: rtsp, http, webcam, file
    Column("url", Text, nullable=False),  # to be shown: *** stands where credentials are
    Column("encrypted_url", Text),  # the whole URL (contracts.encryption); null without credentials
    Column("profile", String(16), nullable=False),
    Column("fps", Double, nullable=False),
    Column("transport", String(8)),  # of rtsp only: tcp, udp
    Column("enabled", Boolean, nullable=False),
    Column("preview", Boolean, nullable=False, server_default=false()),  # whether its pictures may be looked at
    Column("revision", Integer, nullable=False),  # grows when a run would have to begin anew
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("model_id", String(80), primary_key=True),
    Column("name", Text, nullable=False),
    Column("card", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
)

# One uninterrupted reading of a source. Times called _at are Unix seconds.
sessions = Table(
    "sessions",
    metadata,
    Column("session_id", _UUID, primary_key=True),
    Column("source_id", _UUID, ForeignKey("sources.source_id"), nullable=False),
    Column("model_id", String(80), ForeignKey("models.model_id"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("fingerprint", String(80), nullable=False),  # the file's SHA-256
    Column("settings", JSON, nullable=False),  # what decides the rows: fps, detector, profile
    Column("facts", JSON, nullable=False),  # what the reader found: codec, size, duration, repairs
    Column("time_base_num", BigInteger),
    Column("time_base_den", BigInteger),
    Column("start_pts", BigInteger),
    Column("num_packets", BigInteger),
    Column("num_frames", BigInteger),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("error", Text),
    Column("epoch", Integer),  # of a camera's: its run's (see leases); null for recordings
    Column("end_reason", String(24)),  # of a camera's: why the connection or the run ended
    # A camera lost every minute leaves half a million in a year; every two seconds the open ones are asked for.
    Index("sessions_status", "status"),
    Index("sessions_source_id_started_at", "source_id", "started_at"),
)

tracks = Table(
    "tracks",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("track_id", Integer, primary_key=True, autoincrement=False),
    Column("start_pts", BigInteger, nullable=False),
    Column("end_pts", BigInteger, nullable=False),
    Column("start_s", Double, nullable=False),
    Column("end_s", Double, nullable=False),
    Column("num_faces", BigInteger, nullable=False),
)

emotions = Table(
    "emotions",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("track_id", Integer, primary_key=True, autoincrement=False),
    Column("pts", BigInteger, primary_key=True, autoincrement=False),
    Column("frame_index", BigInteger, nullable=False),
    Column("time_s", Double, nullable=False),
    *(Column(name, Double, nullable=False) for name in ("x1", "y1", "x2", "y2", "detection_score", "quality")),
    *(Column(name, Double, nullable=False) for name in EMOTIONS),
    Column("model_id", String(80), nullable=False),
    sqlite_with_rowid=False,
)

# The frames of a session in order: stretches of one state. Frames that were not sampled lie inside the stretches.
coverage = Table(
    "coverage",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("start_pts", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(24), primary_key=True),  # contracts.ledger: analysed, undecodable or a skip reason
    Column("start_s", Double, nullable=False),
    Column("end_s", Double, nullable=False),
    Column("num_frames", BigInteger, nullable=False),  # of this state; for undecodable: packets
    Column("num_not_sampled", BigInteger, nullable=False),
    Column("num_faces", BigInteger, nullable=False),
    # Frames that the asked rate would have had analysed, and a lowered one did not; ``fps`` is the rate in force.
    Column("num_backpressure", BigInteger, nullable=False, server_default="0"),
    Column("fps", Double),
)

# Crop sequences that no worker could use; (session, track, first_pts) identifies a sequence.
rejections = Table(
    "rejections",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("track_id", Integer, primary_key=True, autoincrement=False),
    Column("first_pts", BigInteger, primary_key=True, autoincrement=False),
    Column("num_faces", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

# Who may run a camera. The epoch grows with each new holder, and the store refuses what an older one writes.
leases = Table(
    "leases",
    metadata,
    Column("stream_id", _UUID, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("expires_at", Double, nullable=False),  # by the database's clock; 0: given back
)

# Moments at which a camera's clock was tied to the wall's; drift is corrected by them when times are shown.
clock_anchors = Table(
    "clock_anchors",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("pts", BigInteger, primary_key=True, autoincrement=False),
    Column("wall_s", Double, nullable=False),
)

# The recordings of one `emotrace batch submit`.
batch_files = Table(
    "batch_files",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("batch_id", _UUID, nullable=False),
    Column("priority", String(8), nullable=False),  # contracts.parts: high, normal or low
    Column("created_at", Double, nullable=False),
    Index("batch_files_batch_id", "batch_id"),
)

# The pieces of a recording that are read apart, within one session (ingest.parts.Part tells the columns of the plan).
parts = Table(
    "parts",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("start_pts", BigInteger),
    Column("end_pts", BigInteger),
    Column("start_s", Double, nullable=False),
    Column("end_s", Double, nullable=False),
    Column("first_frame", BigInteger, nullable=False),
    Column("first_packet", BigInteger, nullable=False),
    Column("num_packets", BigInteger, nullable=False),
    Column("lead_in_pts", BigInteger),
    Column("lead_in_dts", BigInteger),
    Column("lead_in_frame", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),  # contracts.parts
    Column("attempts", Integer, nullable=False),  # the last one alone may write
    Column("tries", Integer, nullable=False),  # attempts since it was submitted, or asked to be tried again
    Column("done_s", Double, nullable=False),  # how far the last attempt is, from the recording's start
    Column("packets_read", BigInteger, nullable=False),
    Column("frames_read", BigInteger, nullable=False),
    Column("result", JSON(none_as_null=True)),  # what a finished reading found: facts, the faces at its seams
    Column("error", Text),
    Column("started_at", Double),
    Column("updated_at", Double, nullable=False),
    Column("ended_at", Double),
)

# Tracks that are one person's, joined at seams or by an analyst: an overlay, the keys of rows never change.
track_aliases = Table(
    "track_aliases",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("track_id", Integer, primary_key=True, autoincrement=False),
    Column("joined_id", Integer, nullable=False),  # another track, which may have an alias itself
    Column("reason", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Double, nullable=False),
)

# Who changed what and when, by the dashboard or the command line. Rows are added and never changed.
audits = Table(
    "audits",
    metadata,
    Column("audit_id", _UUID, primary_key=True),
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(32), nullable=False),  # "camera.add": what kind of thing, and what was done to it
    Column("subject", Text, nullable=False),  # the id of the thing
    Column("details", JSON, nullable=False),  # what changed, without credentials
    Index("audits_at", "at"),
)

# People who may use the dashboard. One without a password logs in through OpenID Connect, the name being the e-mail.
users = Table(
    "users",
    metadata,
    Column("user_id", _UUID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # as contracts.users.check_name writes it
    Column("password_hash", Text),  # argon2id, with its parameters and salt
    Column("role", String(16), nullable=False),  # contracts.users: viewer, analyst, operator, admin
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_login_at", Double),
)

# Browsers that are logged in with a password: each holds a token in a cookie, of which only the hash is kept here.
logins = Table(
    "logins",
    metadata,
    Column("token_hash", String(64), primary_key=True),  # SHA-256
    Column("user_id", _UUID, ForeignKey("users.user_id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("logins_user_id", "user_id"),
)

# Logins of the last minutes that failed or are being checked, so that guessing is slow for all processes together.
login_attempts = Table(
    "login_attempts",
    metadata,
    Column("attempt_id", _UUID, primary_key=True),
    Column("name_hash", String(64), nullable=False),  # SHA-256: names may be of any length
    Column("at", Double, nullable=False),
    Index("login_attempts_at", "at"),
)

# Moments and spans that people name. A camera's have no session, and stand in Unix seconds; a recording's in seconds
# from their session's start.
markers = Table(
    "markers",
    metadata,
    Column("marker_id", _UUID, primary_key=True),
    Column("source_id", _UUID, ForeignKey("sources.source_id"), nullable=False),
    Column("session_id", _UUID, ForeignKey("sessions.session_id")),
    Column("start", Double, nullable=False),
    Column("end", Double),  # of a span; null: a moment
    Column("name", Text, nullable=False),
    Column("colour", String(16), nullable=False),  # contracts.markers: a name of its palette
    Column("note", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("version", Integer, nullable=False),  # grows with each change: who changes an older one is told
    Index("markers_source_id_start", "source_id", "start"),
)

# Tracks that were two persons': from ``at_pts`` on, the track goes by another id, which may have an alias and a name.
track_splits = Table(
    "track_splits",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("new_id", Integer, primary_key=True, autoincrement=False),  # contracts.persons: from FIRST_SPLIT_ID on
    Column("track_id", Integer, nullable=False),
    Column("at_pts", BigInteger, nullable=False),
)

# What persons are called, by the track that they go by.
track_names = Table(
    "track_names",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("track_id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
)

# What analysts did to a session's tracks, and what stood there before, so that it can be put back.
track_edits = Table(
    "track_edits",
    metadata,
    Column("session_id", _UUID, ForeignKey("sessions.session_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # counts from 1; the highest is the version
    Column("action", String(16), nullable=False),  # rename, merge, split, undo
    Column("text", Text, nullable=False),
    Column("before", JSON, nullable=False),  # contracts.track_edits
    Column("undone_by", Integer),  # the number of the edit that put it back
    Column("made_by", Text, nullable=False),
    Column("made_at", Double, nullable=False),
)
