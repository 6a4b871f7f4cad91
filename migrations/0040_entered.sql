-- What a writing transaction asks as it opens, in the same message: the org's state while the credential is good,
-- NULL once it is not, and whether its plan leaves its seats unbounded. Asked after the doors are held: each
-- statement in here sees what was committed when it began (0015 says why the doors are advisory locks).
SET LOCAL ROLE vst_owner;

CREATE FUNCTION vst.enter_by(held uuid, OUT state text, OUT has_unbounded_seats boolean)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(vst.door(vst.current_org())), pg_advisory_xact_lock_shared(vst.door(held));
    SELECT o.state, NOT EXISTS (SELECT 1 FROM vst.plans p WHERE p.name = o.plan AND p.seats IS NOT NULL)
      INTO state, has_unbounded_seats
      FROM vst.credentials c
      JOIN vst.orgs o USING (org_id)
     WHERE c.key_id = held
       AND c.revoked_at IS NULL
       AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp());
    has_unbounded_seats := COALESCE(has_unbounded_seats, false);
END
$$;
DROP FUNCTION vst.hold_door(uuid);

-- Every row of these has the org of the scope that wrote it, which the policies compare; an org's own row is never
-- deleted. A key to it only made every writer of an org lock the one row of the org, again and again.
ALTER TABLE vst.users DROP CONSTRAINT users_org_id_fkey;
ALTER TABLE vst.seat_counts DROP CONSTRAINT seat_counts_org_id_fkey;
ALTER TABLE vst.scim_requests DROP CONSTRAINT scim_requests_org_id_fkey;
ALTER TABLE vst.scim_request_people DROP CONSTRAINT scim_request_people_org_id_fkey;

RESET ROLE;
