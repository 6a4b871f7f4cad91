-- What waits on a paused stream is bounded; since when something was dropped in its last pause.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.streams ADD COLUMN dropped_at timestamptz;
CREATE INDEX stream_events_by_app ON vst.stream_events (org_id, app_id, created_at DESC, out_id DESC)
    WHERE state = 'waiting';

RESET ROLE;
