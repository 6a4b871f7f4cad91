-- What the sign-in said of itself that a code, and what is refreshed from it, comes from. A session is raised by a
-- later sign-in of its person; tokens that were asked for before it tell of their own (OIDC Core 12.2). NULL: from
-- before this column, as its session says.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.codes ADD COLUMN said jsonb;
ALTER TABLE vst.refresh_families ADD COLUMN said jsonb;
ALTER TYPE vst.locked_code ADD ATTRIBUTE said jsonb;
ALTER TYPE vst.locked_family ADD ATTRIBUTE said jsonb;

CREATE OR REPLACE FUNCTION vst.lock_code(wanted bytea) RETURNS SETOF vst.locked_code
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM 1
       FROM vst.users
      WHERE user_id = (SELECT c.user_id FROM vst.codes c WHERE c.digest = wanted)
        FOR SHARE;
    RETURN QUERY
        SELECT c.ses_id, c.user_id, s.con_id, c.app_id, c.redirect_uri, c.code_challenge, c.nonce, c.scope, c.rs,
               c.expires_at, c.redeemed_at, c.fam_id, c.resource, c.said
          FROM vst.codes c
          JOIN vst.sessions s USING (org_id, ses_id)
         WHERE c.digest = wanted
           FOR UPDATE OF c;
END
$$;

CREATE OR REPLACE FUNCTION vst.lock_family(wanted uuid) RETURNS SETOF vst.locked_family
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM 1
       FROM vst.users
      WHERE user_id = (SELECT f.user_id FROM vst.refresh_families f WHERE f.fam_id = wanted)
        FOR SHARE;
    RETURN QUERY
        SELECT f.fam_id, f.ses_id, f.user_id, s.con_id, f.app_id, f.scope, f.rs, f.generation, f.successor_used,
               f.rotated_at, f.expires_at, f.ended_at, f.resource, f.said
          FROM vst.refresh_families f
          JOIN vst.sessions s USING (org_id, ses_id)
         WHERE f.fam_id = wanted
           FOR UPDATE OF f;
END
$$;

-- An instant as a number, for answers that come as text: exact, whatever the text of an instant looks like.
CREATE FUNCTION vst.micros(at timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM at) * 1000000)::bigint $$;

RESET ROLE;
