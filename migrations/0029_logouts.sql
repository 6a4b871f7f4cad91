-- Back-channel logout: which app is told that which session ended. One row a session and app: an app is told
-- of an end once. No reference to session or person: whoever is told of a person's removal outlives both.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.apps ADD COLUMN backchannel_logout_uri text;

CREATE TABLE vst.logouts (
    org_id      uuid NOT NULL,
    out_id      uuid NOT NULL,
    ses_id      uuid NOT NULL,
    user_id     uuid NOT NULL,
    app_id      uuid NOT NULL,
    seq         bigint NOT NULL,
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'told', 'dead')),
    attempts    int NOT NULL DEFAULT 0,
    next_at     timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    done_at     timestamptz,
    last_status int,
    last_error  text,
    PRIMARY KEY (org_id, out_id),
    UNIQUE (org_id, ses_id, app_id)
);
CREATE INDEX logouts_by_seq ON vst.logouts (org_id, seq);
CREATE INDEX logouts_waiting ON vst.logouts (org_id, next_at) WHERE state = 'waiting';
CREATE INDEX logouts_done ON vst.logouts (org_id, done_at) WHERE done_at IS NOT NULL;
CREATE INDEX refresh_families_by_app ON vst.refresh_families (org_id, app_id, ses_id);
SELECT vst.enclose('vst.logouts', 'seat', 'SELECT, INSERT, UPDATE, DELETE');

RESET ROLE;
