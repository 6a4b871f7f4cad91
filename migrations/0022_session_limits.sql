-- How long an org's sessions live is asked when they are used, not when they began: a limit that was
-- shortened since ends those that have outlived it.
SET LOCAL ROLE vst_owner;

-- `org_secs` is the org's own limit, `absolute_secs` the one where it has none. Neither lengthens what was
-- said at the session's birth.
CREATE FUNCTION vst.session_ends(said timestamptz, born timestamptz, org_secs integer, absolute_secs bigint)
RETURNS timestamptz
LANGUAGE sql STABLE
AS $$ SELECT LEAST(said, born + make_interval(secs => COALESCE(org_secs, absolute_secs))) $$;

ALTER TYPE vst.minted ADD ATTRIBUTE idle_secs integer;

DROP FUNCTION vst.glance_mint_row(uuid, text, uuid, uuid, text[]);
DROP FUNCTION vst.mint_row(uuid, text[]);

-- STABLE and without a row lock: everything in it is of the calling statement's own snapshot.
CREATE FUNCTION vst.mint_row(session uuid, named text[], absolute_secs bigint) RETURNS SETOF vst.minted
LANGUAGE sql STABLE
AS $$
    SELECT s.ses_id, s.user_id, s.con_id, s.rs, s.acr, s.amr, s.auth_time, s.created_at, s.seen_at,
           vst.session_ends(s.expires_at, s.created_at, o.session_absolute_secs, absolute_secs),
           s.ended_at,
           h.head,
           COALESCE((SELECT max(seq) FROM vst.revocations WHERE scope = ANY (named) AND action = 'terminate'), 0),
           COALESCE((SELECT max(seq) FROM vst.revocations WHERE scope = ANY (named)), 0),
           u.active,
           COALESCE(c.state = 'enabled', false),
           u.user_name, u.email, u.display_name, u.given_name, u.family_name,
           ARRAY(SELECT DISTINCT team_id FROM vst.team_members t WHERE t.user_id = s.user_id ORDER BY 1),
           ARRAY(SELECT DISTINCT role FROM vst.user_roles r WHERE r.user_id = s.user_id ORDER BY 1),
           o.session_idle_secs
      FROM vst.sessions s
      JOIN vst.users u USING (org_id, user_id)
      JOIN vst.revocation_heads h USING (org_id)
      JOIN vst.orgs o USING (org_id)
      LEFT JOIN vst.connections c USING (org_id, con_id)
     WHERE s.ses_id = session
$$;

CREATE FUNCTION vst.glance_mint_row(
    org uuid, reach text, seat uuid, session uuid, named text[], absolute_secs bigint
)
RETURNS SETOF vst.minted
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM vst.enter(org, reach, seat);
    RETURN QUERY SELECT * FROM vst.mint_row(session, named, absolute_secs);
END
$$;

RESET ROLE;
