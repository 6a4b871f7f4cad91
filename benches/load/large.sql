-- People of a large directory, as a SCIM create leaves them.
BEGIN;
SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true);
WITH made AS (
    INSERT INTO users (org_id, user_id, user_name, user_name_norm, external_id, active, email, email_norm, display_name, given_name, family_name, attributes, dir_id, version, created_at, modified_at, display_name_norm)
    SELECT '{org}', gen_random_uuid(), name, name, '00u' || name, true, name, name, 'Ada Lovelace', 'Ada', 'Lovelace',
           jsonb_build_object('userName', name, 'externalId', '00u' || name, 'active', true, 'locale', 'en-US', 'displayName', 'Ada Lovelace',
                              'name', '{"givenName": "Ada", "familyName": "Lovelace"}'::jsonb,
                              'emails', jsonb_build_array(jsonb_build_object('value', name, 'type', 'work', 'primary', true))),
           '{dir}', 1, now(), now(), 'ada lovelace'
      FROM generate_series({from}, {to}) AS n, concat('user', n, '@large.example') AS name
    RETURNING org_id, user_id, email_norm
)
INSERT INTO user_emails (org_id, user_id, value_norm, kind_norm)
SELECT org_id, user_id, email_norm, 'work'
  FROM made;
COMMIT;
