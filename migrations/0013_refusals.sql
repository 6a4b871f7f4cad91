-- Refusals of strangers, counted: one row a minute, connection and code, with the first one's facts sealed.
-- Written by a job alone, at most once a minute and connection; the sweep takes it away.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.refusals (
    org_id uuid NOT NULL REFERENCES vst.orgs,
    rfs_id uuid NOT NULL,
    con_id uuid NOT NULL,
    minute timestamptz NOT NULL,
    code   text NOT NULL,
    count  bigint NOT NULL,
    sample bytea NOT NULL,
    PRIMARY KEY (org_id, con_id, rfs_id),
    UNIQUE (org_id, minute, con_id, code)
);

SELECT vst.enclose('vst.refusals', 'org', 'SELECT, INSERT, UPDATE, DELETE');

RESET ROLE;
