-- One trip instead of three: what is read by one statement alone enters its org within the statement.
-- As INVOKER: the server's own role, under the same policies; the settings are gone when it ends.
SET LOCAL ROLE vst_owner;

CREATE FUNCTION vst.enter(org uuid, reach text, seat uuid) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM set_config('app.org_id', org::text, true),
            set_config('app.reach', reach, true),
            set_config('app.user_id', COALESCE(seat::text, ''), true);
END
$$;

-- What a token is minted from and judged by, of one instant: person, session and stamp.
CREATE TYPE vst.minted AS (
    ses_id             uuid,
    user_id            uuid,
    con_id             uuid,
    rs                 bigint,
    acr                text,
    amr                text[],
    auth_time          timestamptz,
    created_at         timestamptz,
    seen_at            timestamptz,
    expires_at         timestamptz,
    ended_at           timestamptz,
    head               bigint,
    terminated         bigint,
    revoked            bigint,
    active             boolean,
    connection_enabled boolean,
    user_name          text,
    email              text,
    display_name       text,
    given_name         text,
    family_name        text,
    team_ids           uuid[],
    roles              text[]
);

-- STABLE and without a row lock: everything in it is of the calling statement's own snapshot.
CREATE FUNCTION vst.mint_row(session uuid, named text[]) RETURNS SETOF vst.minted
LANGUAGE sql STABLE
AS $$
    SELECT s.ses_id, s.user_id, s.con_id, s.rs, s.acr, s.amr, s.auth_time, s.created_at, s.seen_at,
           s.expires_at, s.ended_at,
           h.head,
           COALESCE((SELECT max(seq) FROM vst.revocations WHERE scope = ANY (named) AND action = 'terminate'), 0),
           COALESCE((SELECT max(seq) FROM vst.revocations WHERE scope = ANY (named)), 0),
           u.active,
           COALESCE(c.state = 'enabled', false),
           u.user_name, u.email, u.display_name, u.given_name, u.family_name,
           ARRAY(SELECT DISTINCT team_id FROM vst.team_members t WHERE t.user_id = s.user_id ORDER BY 1),
           ARRAY(SELECT DISTINCT role FROM vst.user_roles r WHERE r.user_id = s.user_id ORDER BY 1)
      FROM vst.sessions s
      JOIN vst.users u USING (org_id, user_id)
      JOIN vst.revocation_heads h USING (org_id)
      LEFT JOIN vst.connections c USING (org_id, con_id)
     WHERE s.ses_id = session
$$;

CREATE FUNCTION vst.glance_mint_row(org uuid, reach text, seat uuid, session uuid, named text[])
RETURNS SETOF vst.minted
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM vst.enter(org, reach, seat);
    RETURN QUERY SELECT * FROM vst.mint_row(session, named);
END
$$;

-- A connection, with the org's revocation head of that instant.
CREATE TYPE vst.way_in AS (
    con_id     uuid,
    kind       text,
    name       text,
    state      text,
    config     jsonb,
    secret     bytea,
    created_at timestamptz,
    head       bigint
);

-- The enabled connections, or the one that is named, whatever its state.
CREATE FUNCTION vst.glance_ways_in(org uuid, reach text, seat uuid, named uuid, most integer)
RETURNS SETOF vst.way_in
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM vst.enter(org, reach, seat);
    RETURN QUERY
        SELECT c.con_id, c.kind, c.name, c.state, c.config, c.secret, c.created_at,
               (SELECT h.head FROM vst.revocation_heads h)
          FROM vst.connections c
         WHERE CASE WHEN named IS NULL THEN c.state = 'enabled' ELSE c.con_id = named END
         ORDER BY c.con_id
         LIMIT most;
END
$$;

-- The person before what is theirs, each lock in a statement of its own; then the code as it is after the
-- wait.
CREATE TYPE vst.locked_code AS (
    ses_id         uuid,
    user_id        uuid,
    con_id         uuid,
    app_id         uuid,
    redirect_uri   text,
    code_challenge text,
    nonce          text,
    scope          text,
    rs             bigint,
    expires_at     timestamptz,
    redeemed_at    timestamptz,
    fam_id         uuid
);
CREATE FUNCTION vst.lock_code(wanted bytea) RETURNS SETOF vst.locked_code
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM 1
       FROM vst.users
      WHERE user_id = (SELECT c.user_id FROM vst.codes c WHERE c.digest = wanted)
        FOR SHARE;
    RETURN QUERY
        SELECT c.ses_id, c.user_id, s.con_id, c.app_id, c.redirect_uri, c.code_challenge, c.nonce, c.scope, c.rs,
               c.expires_at, c.redeemed_at, c.fam_id
          FROM vst.codes c
          JOIN vst.sessions s USING (org_id, ses_id)
         WHERE c.digest = wanted
           FOR UPDATE OF c;
END
$$;

-- The same for a refresh family: refreshes of one family happen one after another.
CREATE TYPE vst.locked_family AS (
    fam_id         uuid,
    ses_id         uuid,
    user_id        uuid,
    con_id         uuid,
    app_id         uuid,
    scope          text,
    rs             bigint,
    generation     bigint,
    successor_used boolean,
    rotated_at     timestamptz,
    expires_at     timestamptz,
    ended_at       timestamptz
);
CREATE FUNCTION vst.lock_family(wanted uuid) RETURNS SETOF vst.locked_family
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM 1
       FROM vst.users
      WHERE user_id = (SELECT f.user_id FROM vst.refresh_families f WHERE f.fam_id = wanted)
        FOR SHARE;
    RETURN QUERY
        SELECT f.fam_id, f.ses_id, f.user_id, s.con_id, f.app_id, f.scope, f.rs, f.generation, f.successor_used,
               f.rotated_at, f.expires_at, f.ended_at
          FROM vst.refresh_families f
          JOIN vst.sessions s USING (org_id, ses_id)
         WHERE f.fam_id = wanted
           FOR UPDATE OF f;
END
$$;

RESET ROLE;
