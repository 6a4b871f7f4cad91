-- Which app's verifiers have said that they know of a revocation: the first of them and the last.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.feed_acks (
    org_id   uuid NOT NULL,
    seq      bigint NOT NULL,
    app_id   uuid NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, seq, app_id)
);
CREATE INDEX feed_acks_by_age ON vst.feed_acks (org_id, first_at);
CREATE INDEX deprovisionings_by_age ON vst.deprovisionings (org_id, received_at);
SELECT vst.enclose('vst.feed_acks', 'org', 'SELECT, INSERT, UPDATE, DELETE');

RESET ROLE;
