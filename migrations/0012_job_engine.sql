-- Priorities, one job at a time about one payment, work on a schedule, and forgetting what is over.

-- What an event is about in the end: Stripe's payment, where a shallow look finds one, else its object.
ALTER TABLE inbox_events ADD COLUMN about text;

ALTER TABLE jobs
    -- New orders pass a flood of old events. Older builds, which do not say, record fresh jobs.
    ADD COLUMN priority text NOT NULL DEFAULT 'fresh'
        CONSTRAINT jobs_priority CHECK (priority IN ('fresh', 'backlog')),
    ADD COLUMN about text;

-- Promise: of the jobs about one payment at most one is leased at a time, whoever claims. A lease that has run out
-- counts until its job is claimed again. Serves: claim, which passes over jobs whose payment is busy.
CREATE UNIQUE INDEX jobs_one_leased_per_about ON jobs (about)
    WHERE state = 'ready' AND leased_until IS NOT NULL AND about IS NOT NULL;

-- Serves: claim, of each priority the oldest due first (fault 96). Takes the place of jobs_due: an older build that
-- still runs claims correctly by this one, though not as fast from a deep queue.
CREATE INDEX jobs_due_by_priority ON jobs (queue, priority, due_at, id) WHERE state = 'ready';
DROP INDEX jobs_due;

-- Work that is done again and again, by one process at a time. Times are the database's own.
CREATE TABLE schedules (
    name text CONSTRAINT schedules_pkey PRIMARY KEY,
    due_at timestamptz NOT NULL,
    -- How long it rests between two runs, as its last run said.
    every interval,
    -- The fence: it grows with every claim, and whoever says that a run ended must name the newest.
    lease_token bigint NOT NULL CONSTRAINT schedules_lease_token CHECK (lease_token BETWEEN 1 AND 4294967295),
    leased_until timestamptz,
    last_started_at timestamptz NOT NULL,
    last_finished_at timestamptz,
    -- Why the last run failed; null when it went well.
    last_error text
);

-- Serve: forgetting what is over, the oldest first, a few at a time.
CREATE INDEX jobs_done ON jobs (finished_at) WHERE state = 'done';
CREATE INDEX inbox_events_by_receipt ON inbox_events (received_at);
CREATE INDEX commits_by_age ON commits (at);
