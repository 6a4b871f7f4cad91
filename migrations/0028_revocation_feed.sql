-- The feed of revocations, for the apps. A reference table over all orgs, without policies: opaque ids alone.
-- A row is written with its revocation, without a position; the relay gives positions, dense and in their
-- order, to what is committed. A sequence would not do: a reader that has seen 6 never looks for 5 again.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.revocation_feed (
    org_id uuid NOT NULL,
    seq    bigint NOT NULL,
    pos    bigint,
    scope  text NOT NULL,
    action text NOT NULL CHECK (action IN ('terminate', 'reassert')),
    at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, seq)
);
CREATE UNIQUE INDEX revocation_feed_by_pos ON vst.revocation_feed (pos);
CREATE INDEX revocation_feed_unplaced ON vst.revocation_feed (org_id, seq) WHERE pos IS NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON vst.revocation_feed TO vst_app;

-- The newest position given. The life changes when a database is restored: no cursor of before is good then.
CREATE TABLE vst.revocation_feed_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    life     uuid NOT NULL DEFAULT gen_random_uuid(),
    pos      bigint NOT NULL DEFAULT 0
);
INSERT INTO vst.revocation_feed_head DEFAULT VALUES;
GRANT SELECT, UPDATE ON vst.revocation_feed_head TO vst_app;

RESET ROLE;
