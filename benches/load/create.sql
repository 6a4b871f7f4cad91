-- The statements of a SCIM create, as the gateway sends them (it sets the org within BEGIN,
-- which pgbench cannot prepare: one round trip more here); {org}, {dir} and {digest} are filled in.
\set n random(1, 281474976710655)
SELECT key_id FROM gate_credential('\x{digest}'::bytea, 'scim') \gset
BEGIN;
SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true);
SELECT * FROM enter_by(:key_id::uuid);
WITH made AS (
    INSERT INTO users (org_id, user_id, user_name, user_name_norm, external_id, active, email, email_norm, display_name, given_name, family_name, attributes, dir_id, version, created_at, modified_at, display_name_norm)
    SELECT '{org}'::uuid, ('00000000-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid, :n || '@pg.example', :n || '@pg.example', NULL, true, :n || '@pg.example', :n || '@pg.example', NULL, NULL, NULL,
           '{"active": true, "emails": [{"type": "work", "value": "user@acme.example", "primary": true}], "userName": "user@acme.example"}'::jsonb,
           '{dir}'::uuid, 1, now(), now(), NULL
     WHERE NOT EXISTS (SELECT 1 FROM users WHERE email_norm = ANY (ARRAY[:n || '@pg.example']) AND dir_id IS NULL)
    ON CONFLICT (org_id, user_name_norm) DO NOTHING
    RETURNING user_id
), reached AS (
    INSERT INTO user_emails (org_id, user_id, value_norm, kind_norm)
    SELECT '{org}'::uuid, made.user_id, n.value, n.kind FROM made, UNNEST(ARRAY[:n || '@pg.example'], ARRAY['work']) AS n(value, kind)
    ON CONFLICT DO NOTHING
), back AS (
    DELETE FROM departed WHERE name_norm = ANY (ARRAY[:n || '@pg.example']) AND EXISTS (SELECT 1 FROM made)
)
SELECT EXISTS (SELECT 1 FROM made);
WITH kept AS (
    INSERT INTO audit_events (org_id, evt_id, at, actor_kind, actor_id, action, outcome, target_kind, target_id, request_id, session_id, leaf)
    SELECT '{org}'::uuid, ('00000001-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid, now(), 'directory', 'dir_01m7zjq0qpft18eck4kz5kwveb', 'user.created', 'done', 'user', 'usr_' || :n, 'evt_' || :n, NULL, decode(repeat('7b', 700), 'hex')
), valued AS (
    INSERT INTO audit_values (org_id, evt_id, path, sealed)
    SELECT '{org}'::uuid, ('00000001-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid, v.path, decode(repeat('5b', 160), 'hex')
      FROM UNNEST(ARRAY['after', 'ip', 'user_agent']) AS v(path)
), metered AS (
    INSERT INTO usage_events (org_id, event_id, meter, value, at)
    SELECT '{org}'::uuid, :n || '/directory.user', 'directory.user', 1, now()
    ON CONFLICT DO NOTHING
)
SELECT whk_id, event_type
  FROM webhooks
  JOIN UNNEST(ARRAY['user.created']) AS event_type ON '*' = ANY (events) OR event_type = ANY (events)
 WHERE state = 'enabled';
COMMIT;
