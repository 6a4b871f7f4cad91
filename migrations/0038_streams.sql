-- Shared Signals out. A stream is an app's own: one each, on which it is told what ends in the orgs it serves.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.streams (
    app_id        uuid PRIMARY KEY REFERENCES vst.apps ON DELETE CASCADE,
    str_id        uuid NOT NULL UNIQUE,
    endpoint_url  text NOT NULL,
    auth_header   bytea,
    events        text[] NOT NULL,
    status        text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'paused', 'disabled')),
    reason        text,
    description   text,
    verified_at   timestamptz,
    created_at    timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON vst.streams TO vst_app;

-- Whose streams are told of this kind of event in this org.
CREATE FUNCTION vst.streams_of(org uuid, event text) RETURNS SETOF uuid
LANGUAGE sql STABLE
AS $$
    SELECT s.app_id
      FROM vst.streams s
      JOIN vst.apps a USING (app_id)
     WHERE s.status <> 'disabled'
       AND event = ANY (s.events)
       AND (a.all_orgs OR EXISTS (SELECT 1 FROM vst.app_orgs o WHERE o.app_id = s.app_id AND o.org_id = org))
$$;

-- What is to be told. What is about a stream, and no org, lies on the platform's shelf. No reference to
-- session or person: whoever is told of a person's removal outlives both.
CREATE TABLE vst.stream_events (
    org_id      uuid NOT NULL,
    out_id      uuid NOT NULL,
    app_id      uuid NOT NULL,
    kind        text NOT NULL,
    user_id     uuid,
    ses_id      uuid,
    seq         bigint,
    said        text,
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
CREATE INDEX stream_events_by_seq ON vst.stream_events (org_id, seq);
CREATE INDEX stream_events_waiting ON vst.stream_events (org_id, next_at) WHERE state = 'waiting';
CREATE INDEX stream_events_done ON vst.stream_events (org_id, done_at) WHERE done_at IS NOT NULL;
SELECT vst.enclose('vst.stream_events', 'seat', 'SELECT, INSERT, UPDATE, DELETE');

RESET ROLE;
