-- The statements of a SCIM PATCH active=false, as the gateway sends them (it sets the org within BEGIN,
-- which pgbench cannot prepare: one round trip more here), about one of a thousand people.
\set n random(1, 1000)
\set e random(1, 281474976710655)
SELECT * FROM gate_credential('\x{digest}'::bytea, 'scim');
BEGIN;
SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true);
SELECT user_id, user_name, external_id, active, email, display_name, given_name, family_name, dir_id, attributes, version, created_at, modified_at FROM users WHERE user_id = ('00000004-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid FOR UPDATE;
UPDATE users
   SET user_name = 'pg' || :n, user_name_norm = 'pg' || :n, external_id = NULL, active = false, email = NULL, email_norm = NULL,
       display_name = NULL, given_name = NULL, family_name = NULL, attributes = '{"active": false, "emails": [{"type": "work", "value": "user@acme.example", "primary": true}], "userName": "user@acme.example"}', dir_id = '{dir}',
       version = version + 1, modified_at = now(), display_name_norm = NULL
 WHERE user_id = ('00000004-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid;
DELETE FROM user_emails e WHERE user_id = ('00000004-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid
   AND NOT EXISTS (SELECT 1 FROM UNNEST(ARRAY[:n || '@pg.example'], ARRAY['work']) AS n(value, kind)
                    WHERE n.value = e.value_norm AND n.kind = e.kind_norm);
INSERT INTO user_emails (org_id, user_id, value_norm, kind_norm)
SELECT '{org}'::uuid, ('00000004-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid, n.value, n.kind FROM UNNEST(ARRAY[:n || '@pg.example'], ARRAY['work']) AS n(value, kind)
ON CONFLICT DO NOTHING;
WITH waiting AS (
    INSERT INTO pending (kind, org_id, item_id, due_at) VALUES ('revocation', '{org}', ('00000003-0000-7000-8000-' || lpad(to_hex(:e::bigint), 12, '0'))::uuid, now() + interval '1 hour')
), next AS (
    UPDATE revocation_heads SET head = head + 1 RETURNING head
)
INSERT INTO revocations (org_id, seq, scope, action, reason, at)
SELECT '{org}', head, 'usr:' || :n, 'terminate', 'scim_deactivated', now() FROM next
RETURNING seq;
WITH mark AS (
    SELECT COALESCE(max(seq), 0) AS seq FROM revocations
     WHERE action = 'terminate' AND scope IN ('org', 'usr:' || :n)
)
INSERT INTO deprovisionings (org_id, dep_id, user_id, cause, request_id, seq, sessions_ended, families_ended, received_at, written_at, dead_after)
SELECT '{org}', ('00000002-0000-7000-8000-' || lpad(to_hex(:e::bigint), 12, '0'))::uuid, ('00000004-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid, 'scim_deactivated', 'evt_' || :e, mark.seq,
       (SELECT count(*) FROM sessions s WHERE s.user_id = ('00000004-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid AND s.ended_at IS NULL AND s.expires_at > now() AND s.rs >= mark.seq),
       (SELECT count(*) FROM refresh_families f WHERE f.user_id = ('00000004-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid AND f.ended_at IS NULL AND f.expires_at > now() AND f.rs >= mark.seq),
       now(), clock_timestamp(), now() + interval '300 s'
  FROM mark;
SELECT m.group_id, m.user_id, g.display_name FROM group_members m JOIN groups g USING (org_id, group_id)
 WHERE m.user_id = ANY (ARRAY[('00000004-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid]) AND g.dir_id = '{dir}' ORDER BY m.group_id;
WITH kept AS (
    INSERT INTO audit_events (org_id, evt_id, at, actor_kind, actor_id, action, outcome, target_kind, target_id, request_id, session_id, leaf)
    SELECT '{org}'::uuid, ('00000001-0000-7000-8000-' || lpad(to_hex(:e::bigint), 12, '0'))::uuid, now(), 'directory', 'dir_01m7zjq0qpft18eck4kz5kwveb', 'user.deactivated', 'done', 'user', 'usr_' || :n, 'evt_' || :e, NULL, decode(repeat('7b', 900), 'hex')
), valued AS (
    INSERT INTO audit_values (org_id, evt_id, path, sealed)
    SELECT '{org}'::uuid, ('00000001-0000-7000-8000-' || lpad(to_hex(:e::bigint), 12, '0'))::uuid, v.path, decode(repeat('5b', 160), 'hex')
      FROM UNNEST(ARRAY['after', 'before', 'receipt', 'ip', 'user_agent']) AS v(path)
), metered AS (
    INSERT INTO usage_events (org_id, event_id, meter, value, at)
    SELECT '{org}'::uuid, :e || '/directory', 'directory.user', 1, now()
    ON CONFLICT DO NOTHING
)
SELECT whk_id, event_type
  FROM webhooks
  JOIN UNNEST(ARRAY['user.deactivated']) AS event_type ON '*' = ANY (events) OR event_type = ANY (events)
 WHERE state = 'enabled';
COMMIT;
BEGIN;
SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true);
UPDATE deprovisionings SET committed_at = now(), reached_at = now() WHERE dep_id = ('00000002-0000-7000-8000-' || lpad(to_hex(:e::bigint), 12, '0'))::uuid;
DELETE FROM pending WHERE kind = 'revocation' AND org_id = '{org}' AND item_id = ('00000003-0000-7000-8000-' || lpad(to_hex(:e::bigint), 12, '0'))::uuid;
COMMIT;
