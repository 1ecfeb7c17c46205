"""The tables of Stepwood's databases as SQL: for each an ordered list of migrations, applied once each.

A database that lacks the last ones is older and gets them when it is opened; never change or reorder what
has been released, append. Times are seconds since the epoch, durations seconds, sizes bytes. Text that
is not UTF-8 is escaped, see `engine.records.text`.
"""

from __future__ import annotations

from dataclasses import dataclass

TABLES = """
CREATE TABLE steps (
    id TEXT PRIMARY KEY NOT NULL,               -- SHA-256 of what the step is made of
    kind TEXT NOT NULL,                         -- base, run, copy or merge
    op TEXT NOT NULL,                           -- the op as one line of spec text
    fields TEXT NOT NULL,                       -- JSON: [[name, value], ...], what the id is made of
    first_seen REAL
);
CREATE TABLE edges (
    step TEXT NOT NULL REFERENCES steps(id),
    position INTEGER NOT NULL,                  -- 0: the root that the step starts from
    input TEXT NOT NULL REFERENCES steps(id),
    PRIMARY KEY (step, position)
) WITHOUT ROWID;
CREATE INDEX edges_input ON edges(input);
CREATE TABLE batches (
    id TEXT PRIMARY KEY NOT NULL,
    started REAL NOT NULL,
    finished REAL,                              -- NULL: it runs, or its process died
    outcome TEXT,
    jobs INTEGER NOT NULL,
    steps INTEGER NOT NULL,                     -- distinct steps
    built INTEGER NOT NULL DEFAULT 0,
    cached INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    command TEXT NOT NULL                       -- the command line
);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    batch TEXT NOT NULL REFERENCES batches(id),
    name TEXT NOT NULL,
    final TEXT NOT NULL REFERENCES steps(id),   -- the step that the job is for
    outcome TEXT,                               -- NULL: it runs, or its process died
    position INTEGER NOT NULL                   -- in its batch
);
CREATE INDEX jobs_batch ON jobs(batch);
CREATE INDEX jobs_name ON jobs(name);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    step TEXT NOT NULL REFERENCES steps(id),
    batch TEXT REFERENCES batches(id),          -- NULL: known from the store only
    number INTEGER NOT NULL,                    -- 1, 2, ...: tries of one step in one batch
    started REAL NOT NULL,
    seconds REAL NOT NULL,
    exit INTEGER,                               -- NULL: no command ran to its end
    outcome TEXT NOT NULL,                      -- built, cached, failed, skipped or cancelled
    cause TEXT,                                 -- of a failure: exit, timeout, memory, ...
    message TEXT NOT NULL,
    bytes INTEGER,                              -- what the step added to the store
    peak_memory INTEGER,
    log TEXT                                    -- a path, from the store's folder
);
-- Without the rows of cached steps, which outnumber all others: 5 microseconds to write one, however many there are.
-- A query uses it if it says so too: outcome <> 'cached', even beside outcome = 'built'.
CREATE INDEX attempts_step ON attempts(step, outcome) WHERE outcome <> 'cached';
CREATE INDEX attempts_batch ON attempts(batch);
CREATE TABLE pins (
    reference TEXT PRIMARY KEY NOT NULL,        -- as it was asked for
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    config TEXT NOT NULL,                       -- JSON: env, user, workdir, platform
    source TEXT NOT NULL,                       -- where to fetch exactly this
    taken REAL NOT NULL
);
CREATE TABLE files (
    path TEXT PRIMARY KEY NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,                  -- this and the next two modulo 2^64, as signed numbers
    inode INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL
);
"""

# In latest_results the bare columns are those of the row that has the maximum: SQLite promises it.
VIEWS = """
CREATE VIEW latest_results AS
    SELECT max(id) AS id, step, batch, number, started, seconds, exit, outcome, cause, message, bytes, peak_memory, log
    FROM attempts WHERE outcome IN ('built', 'failed') AND outcome <> 'cached' GROUP BY step;
CREATE VIEW failed_steps AS
    SELECT steps.id AS step, steps.op, result.batch, result.started, result.seconds, result.exit, result.cause,
        result.message, result.log
    FROM latest_results AS result JOIN steps ON steps.id = result.step
    WHERE result.outcome = 'failed' ORDER BY result.started DESC;
CREATE VIEW slowest_steps AS
    SELECT steps.id AS step, steps.kind, steps.op, count(*) AS builds, avg(seconds) AS mean_seconds,
        max(seconds) AS max_seconds, max(peak_memory) AS peak_memory
    FROM attempts JOIN steps ON steps.id = attempts.step
    WHERE outcome = 'built' AND outcome <> 'cached' GROUP BY steps.id ORDER BY mean_seconds DESC;
CREATE VIEW job_summary AS
    SELECT jobs.id AS job, jobs.name, jobs.batch, jobs.outcome, batches.started, batches.finished, jobs.final, steps.op,
        (WITH RECURSIVE made(step) AS (
            SELECT jobs.final UNION SELECT edges.input FROM edges JOIN made ON edges.step = made.step
         ) SELECT count(*) FROM made) AS steps,
        (WITH RECURSIVE made(step) AS (
            SELECT jobs.final UNION SELECT edges.input FROM edges JOIN made ON edges.step = made.step
         ) SELECT total(attempts.seconds) FROM made JOIN attempts ON attempts.step = made.step
           WHERE attempts.batch = jobs.batch AND outcome = 'built' AND outcome <> 'cached') AS built_seconds
    FROM jobs JOIN batches ON batches.id = jobs.batch JOIN steps ON steps.id = jobs.final ORDER BY jobs.id DESC;
"""

LOOKUPS = """
CREATE INDEX steps_by_op ON steps(op);          -- `why` looks for what a changed step has come from
"""

FLAKY = """
CREATE VIEW flaky_steps AS
    SELECT steps.id AS step, steps.op, sum(outcome = 'failed') AS failed, sum(outcome = 'built') AS built,
        group_concat(DISTINCT CASE WHEN outcome = 'failed' THEN cause END) AS causes, max(attempts.started) AS last
    FROM attempts JOIN steps ON steps.id = attempts.step
    WHERE outcome <> 'cached'
        AND (outcome = 'built' OR outcome = 'failed' AND cause NOT IN ('store', 'sandbox', 'input'))
    GROUP BY steps.id HAVING failed > 0 AND built > 0;
"""

FORESIGHT = """
ALTER TABLE batches ADD COLUMN p50 REAL;        -- seconds that half of such runs were expected to take at most
ALTER TABLE batches ADD COLUMN p90 REAL;        -- the same, nine of ten
"""

LABELS = """
ALTER TABLE jobs ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';  -- JSON: {name: value}, the matrix's axes among them
"""

MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("001_tables", TABLES),
    ("002_views", VIEWS),
    ("003_lookups", LOOKUPS),
    ("004_flaky", FLAKY),
    ("005_foresight", FORESIGHT),
    ("006_labels", LABELS),
)
"""Name and SQL, oldest first."""

# Without columns of its own (content='') the full-text table holds postings only: the text is in the logs. Words are
# runs of letters and digits; what stands between them is looked for in the log that is found.
LOG_TABLES = """
CREATE TABLE logs (
    id INTEGER PRIMARY KEY,                     -- the rowid in words
    step TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE,                  -- from the store's folder, ending in .log, compressed or not
    ended REAL NOT NULL,
    bytes INTEGER NOT NULL                      -- as the step wrote it
);
CREATE TABLE sweeps (at REAL NOT NULL);         -- when the logs that killed builds left were last looked for
CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0, tokenize='unicode61 remove_diacritics 0');
"""

LOG_MIGRATIONS: tuple[tuple[str, str], ...] = (("001_logs", LOG_TABLES),)


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database holds, and what errors say of it: its title, and how to make it anew."""

    name: str
    title: str
    migrations: tuple[tuple[str, str], ...]
    hint: str


INDEX = Schema("stepwood", "index", MIGRATIONS, "to make it anew from the store: stepwood fsck --rebuild-index")
LOGS = Schema(
    "stepwood-logs", "index of logs", LOG_MIGRATIONS, "to make it anew: remove it, and builds fill it from the logs"
)
