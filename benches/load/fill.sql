-- A thousand people for deactivate.sql.
BEGIN;
SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true);
INSERT INTO users (org_id, user_id, user_name, user_name_norm, external_id, active, email, email_norm, display_name, given_name, family_name, attributes, dir_id, version, created_at, modified_at, display_name_norm)
SELECT '{org}', ('00000004-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'pg' || n, 'pg' || n, NULL, true, NULL, NULL,
       NULL, NULL, NULL, '{"active": true, "emails": [{"type": "work", "value": "user@acme.example", "primary": true}], "userName": "user@acme.example"}', '{dir}', 1, now(), now(), NULL
  FROM generate_series(1, 1000) AS n
ON CONFLICT DO NOTHING;
COMMIT;
