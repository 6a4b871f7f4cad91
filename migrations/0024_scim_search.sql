-- What a directory may search for. Compared texts stand in the order of their bytes, so that one index
-- serves equality, beginnings and order; every person has a document and addresses of their own, whoever
-- made the seat; and the two forms that SQL lacks.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.users ALTER COLUMN user_name_norm TYPE text COLLATE "C";
ALTER TABLE vst.users ALTER COLUMN display_name_norm TYPE text COLLATE "C";
ALTER TABLE vst.groups ALTER COLUMN display_name_norm TYPE text COLLATE "C";

-- As model::user::normalised compares: no white space around it, lower case by Unicode.
CREATE FUNCTION vst.folded(text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT lower(btrim($1, E'\t\n\u000B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000') COLLATE "und-x-icu")
$$;

-- As model::Id writes one: 26 digits of base 32 behind the prefix.
CREATE FUNCTION vst.id_text(prefix text, id uuid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT prefix || string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', five::int + 1, 1), '' ORDER BY n)
      FROM (SELECT n, substring(B'00' || ('x' || replace(id::text, '-', ''))::bit(128) FROM n * 5 + 1 FOR 5) AS five
              FROM generate_series(0, 25) AS n) digits
$$;

-- As model::Timestamp writes one: UTC, no zeros at the end of the fraction.
CREATE FUNCTION vst.time_text(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT regexp_replace(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '\.?0+$', '') || 'Z'
$$;

-- The seats that sign-ins made had no document and no row of addresses. FORCE blinds the owner too.
ALTER TABLE vst.users NO FORCE ROW LEVEL SECURITY;
ALTER TABLE vst.user_emails NO FORCE ROW LEVEL SECURITY;
UPDATE vst.users
   SET attributes = jsonb_strip_nulls(jsonb_build_object(
           'userName', user_name,
           'externalId', external_id,
           'active', active,
           'displayName', display_name,
           'name', NULLIF(jsonb_strip_nulls(jsonb_build_object('givenName', given_name, 'familyName', family_name)), '{}'),
           'emails', CASE WHEN email IS NOT NULL
                          THEN jsonb_build_array(jsonb_build_object('value', email, 'primary', true)) END))
 WHERE NOT attributes ? 'userName';
INSERT INTO vst.user_emails (org_id, user_id, value_norm, kind_norm)
SELECT org_id, user_id, email_norm, ''
  FROM vst.users
 WHERE email_norm IS NOT NULL AND dir_id IS NULL
ON CONFLICT DO NOTHING;
ALTER TABLE vst.users FORCE ROW LEVEL SECURITY;
ALTER TABLE vst.user_emails FORCE ROW LEVEL SECURITY;

RESET ROLE;
