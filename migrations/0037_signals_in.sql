-- What a customer's identity provider calls its own session: by that name it may end ours, at any time.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.sessions ADD COLUMN upstream_sid text;
CREATE INDEX sessions_by_upstream ON vst.sessions (org_id, con_id, upstream_sid) WHERE upstream_sid IS NOT NULL;

RESET ROLE;
