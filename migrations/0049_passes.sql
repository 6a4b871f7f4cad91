-- A browser's pass, asked about at each request that a proxy holds: its refresh family and all that it is judged by,
-- of one instant, in one trip (as migrations/0019).
SET LOCAL ROLE vst_owner;

CREATE TYPE vst.passing AS (
    app_id  uuid,
    born    bigint,
    used_at timestamptz,
    ends_at timestamptz,
    over_at timestamptz,
    minted  vst.minted
);

CREATE FUNCTION vst.glance_pass(
    org uuid, reach text, seat uuid, family uuid, named text[], absolute_secs bigint
)
RETURNS SETOF vst.passing
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM vst.enter(org, reach, seat);
    RETURN QUERY
        SELECT f.app_id, f.rs, f.rotated_at, f.expires_at, f.ended_at, m
          FROM vst.refresh_families f
         CROSS JOIN LATERAL vst.mint_row(f.ses_id, named, absolute_secs) m
         WHERE f.fam_id = family;
END
$$;

RESET ROLE;
