-- What happened before an app made its stream, or while it was disabled, is not told on it: neither what waited when the
-- stream before it was removed.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.streams ADD COLUMN since timestamptz;
UPDATE vst.streams SET since = created_at;
ALTER TABLE vst.streams ALTER COLUMN since SET NOT NULL;

RESET ROLE;
