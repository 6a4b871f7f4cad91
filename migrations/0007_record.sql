-- The record: audit, metering, and what must still be told outside. The server may add and read audit
-- rows, never change one. Values that may be personal stand beside the event, sealed, each deletable;
-- the event itself holds their salted commitments, so it stays true when a value is gone.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.audit_events (
    org_id      uuid NOT NULL,
    evt_id      uuid NOT NULL,
    at          timestamptz NOT NULL,
    actor_kind  text NOT NULL,
    actor_id    text NOT NULL,
    action      text NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('done', 'refused')),
    target_kind text,
    target_id   text,
    request_id  text NOT NULL,
    session_id  text,
    leaf        bytea NOT NULL,
    PRIMARY KEY (org_id, evt_id, at)
) PARTITION BY RANGE (at);
CREATE INDEX audit_events_by_actor ON vst.audit_events (org_id, actor_id, evt_id DESC);
CREATE INDEX audit_events_by_action ON vst.audit_events (org_id, action, evt_id DESC);
CREATE INDEX audit_events_by_target ON vst.audit_events (org_id, target_id, evt_id DESC);

-- Partitions are enclosed through their parent: nobody has a grant on one of its own. The default one
-- catches what no month was made for, so that a forgotten month never refuses a sign-in.
CREATE TABLE vst.audit_events_default PARTITION OF vst.audit_events DEFAULT;
CREATE FUNCTION vst.make_audit_month(first_day date) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('CREATE TABLE IF NOT EXISTS vst.%I PARTITION OF vst.audit_events FOR VALUES FROM (%L) TO (%L)',
                   'audit_events_' || to_char(first_day, 'YYYYMM'), first_day, first_day + interval '1 month');
    EXECUTE format('ALTER TABLE vst.%I ENABLE ROW LEVEL SECURITY', 'audit_events_' || to_char(first_day, 'YYYYMM'));
    EXECUTE format('ALTER TABLE vst.%I FORCE ROW LEVEL SECURITY', 'audit_events_' || to_char(first_day, 'YYYYMM'));
END
$$;
REVOKE ALL ON FUNCTION vst.make_audit_month(date) FROM PUBLIC;
ALTER TABLE vst.audit_events_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE vst.audit_events_default FORCE ROW LEVEL SECURITY;
SELECT vst.make_audit_month((date_trunc('month', now()) + make_interval(months => m))::date)
  FROM generate_series(0, 23) AS m;

CREATE TABLE vst.audit_values (
    org_id uuid NOT NULL,
    evt_id uuid NOT NULL,
    path   text NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (org_id, evt_id, path)
);

CREATE TABLE vst.usage_events (
    org_id   uuid NOT NULL,
    event_id text NOT NULL,
    meter    text NOT NULL,
    value    bigint NOT NULL,
    at       timestamptz NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (org_id, meter, event_id)
);
CREATE INDEX usage_events_by_time ON vst.usage_events (org_id, meter, at);

CREATE TABLE vst.webhooks (
    org_id     uuid NOT NULL REFERENCES vst.orgs,
    whk_id     uuid NOT NULL,
    url        text NOT NULL,
    events     text[] NOT NULL,
    secret     bytea NOT NULL,
    state      text NOT NULL CHECK (state IN ('enabled', 'disabled')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, whk_id)
);
CREATE TABLE vst.deliveries (
    org_id      uuid NOT NULL,
    del_id      uuid NOT NULL,
    whk_id      uuid NOT NULL,
    event_type  text NOT NULL,
    payload     text NOT NULL,
    state       text NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts    int NOT NULL DEFAULT 0,
    next_at     timestamptz NOT NULL,
    last_status int,
    last_error  text,
    created_at  timestamptz NOT NULL,
    done_at     timestamptz,
    PRIMARY KEY (org_id, del_id),
    FOREIGN KEY (org_id, whk_id) REFERENCES vst.webhooks (org_id, whk_id) ON DELETE CASCADE
);
CREATE INDEX deliveries_by_state ON vst.deliveries (org_id, state, del_id);

-- Answers kept for a repeated Idempotency-Key, sealed: they may hold a secret shown once.
CREATE TABLE vst.idempotent_answers (
    org_id      uuid NOT NULL,
    caller      text NOT NULL,
    request_key text NOT NULL,
    body_digest bytea NOT NULL,
    answer      bytea NOT NULL,
    until       timestamptz NOT NULL,
    PRIMARY KEY (org_id, caller, request_key)
);

SELECT vst.enclose('vst.audit_events', 'org', 'SELECT, INSERT');
SELECT vst.enclose('vst.audit_values', 'org', 'SELECT, INSERT, DELETE');
SELECT vst.enclose('vst.usage_events', 'org', 'SELECT, INSERT');
SELECT vst.enclose('vst.webhooks', 'org', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.deliveries', 'org', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.idempotent_answers', 'org', 'SELECT, INSERT, DELETE');

RESET ROLE;
