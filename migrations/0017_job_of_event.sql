-- The job that reads an event, as the event was received; null where it is not read. Of events that were stored before,
-- the job's id follows from theirs.
ALTER TABLE inbox_events ADD COLUMN job_id uuid;
