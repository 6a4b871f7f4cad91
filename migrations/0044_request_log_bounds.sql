-- A directory's request log has a size, not only an age: whoever asks without end would fill the disk that
-- everybody's sign-ins need. And what its rate limit refuses is counted on one row a second.
SET LOCAL ROLE vst_owner;

-- How many requests the row stands for: refused by the rate limit, one as the other.
ALTER TABLE vst.scim_requests ADD COLUMN times bigint NOT NULL DEFAULT 1;

-- What a directory's log takes, so that nobody counts it. Written with the rows, by the same statements. No key
-- refers to the directory, as none does from the log itself.
CREATE TABLE vst.scim_request_sums (
    org_id uuid NOT NULL REFERENCES vst.orgs,
    dir_id uuid NOT NULL,
    rows   bigint NOT NULL,
    bytes  bigint NOT NULL,
    PRIMARY KEY (org_id, dir_id)
);

ALTER TABLE vst.scim_requests NO FORCE ROW LEVEL SECURITY;
INSERT INTO vst.scim_request_sums (org_id, dir_id, rows, bytes)
SELECT org_id, dir_id, count(*),
       sum(400 + octet_length(head) + octet_length(bodies) + 150 * cardinality(users))
  FROM vst.scim_requests
 GROUP BY org_id, dir_id;
DO $$
BEGIN
    IF (SELECT count(*) FROM vst.scim_requests) <> (SELECT COALESCE(sum(rows), 0) FROM vst.scim_request_sums) THEN
        RAISE EXCEPTION 'backfill: the sums are not of all rows';
    END IF;
END $$;
ALTER TABLE vst.scim_requests FORCE ROW LEVEL SECURITY;

SELECT vst.enclose('vst.scim_request_sums', 'seat', 'SELECT, INSERT, UPDATE, DELETE');

RESET ROLE;
