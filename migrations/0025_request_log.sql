-- What each directory asked, what it was answered, and why: for the org's administrator, for some weeks.
-- Written by a job alone, some seconds of requests at a time; what names or shows a person is sealed. No key
-- refers to the directory: one that goes takes along what the sweep then takes away in bites, and no
-- removal waits for a million rows.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.scim_requests (
    org_id      uuid NOT NULL REFERENCES vst.orgs,
    dir_id      uuid NOT NULL,
    req_id      uuid NOT NULL,
    at          timestamptz NOT NULL,
    method      text NOT NULL,
    -- NULL: the connection broke before its answer.
    status      integer,
    code        text,
    key_id      uuid NOT NULL,
    request_id  text NOT NULL,
    duration_ms bigint NOT NULL,
    dry_run     boolean NOT NULL,
    held        boolean NOT NULL,
    lost_before bigint NOT NULL,
    -- Whom the request names.
    users       uuid[] NOT NULL DEFAULT '{}',
    head        bytea NOT NULL,
    bodies      bytea NOT NULL,
    PRIMARY KEY (org_id, dir_id, req_id)
);
-- Sealed, so it does not compress; a list does not read it.
ALTER TABLE vst.scim_requests ALTER COLUMN bodies SET STORAGE EXTERNAL;
CREATE INDEX scim_requests_failed ON vst.scim_requests (org_id, dir_id, req_id)
    WHERE status IS NULL OR status >= 400 OR code IS NOT NULL;

-- By whom they name. A row goes with the request's, by the same statement.
CREATE TABLE vst.scim_request_people (
    org_id  uuid NOT NULL REFERENCES vst.orgs,
    dir_id  uuid NOT NULL,
    subject uuid NOT NULL,
    req_id  uuid NOT NULL,
    PRIMARY KEY (org_id, dir_id, subject, req_id)
);

-- Kind seat without a user_id: for who sees the whole org, and nobody's own seat.
SELECT vst.enclose('vst.scim_requests', 'seat', 'SELECT, INSERT, DELETE');
SELECT vst.enclose('vst.scim_request_people', 'seat', 'SELECT, INSERT, DELETE');

RESET ROLE;
