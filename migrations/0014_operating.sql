-- Looking at the inbox and the jobs, and starting them again.

-- Serve: what came about a payment, or about an object; each event is in the second only where the first would not
-- find it.
CREATE INDEX inbox_events_by_about ON inbox_events (about) WHERE about IS NOT NULL;
CREATE INDEX inbox_events_by_object ON inbox_events (object) WHERE object IS DISTINCT FROM about;
-- Serves: the events that were not for us, among many that were.
CREATE INDEX inbox_events_ignored ON inbox_events (received_at) WHERE ignored IS NOT NULL;

-- Serves: the replays of an event. Its first job is found by its id, which follows from the event, so that intake pays
-- for no index on what a job reads. That one replay of an event is under way, jobs_one_ready_per_key promises.
CREATE INDEX jobs_replays ON jobs (payload) WHERE kind = 'read_event' AND unique_key IS NOT NULL;
