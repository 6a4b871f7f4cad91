-- What a secret fetched has no door of its own: whoever writes by it holds the secret's, so that a secret is revoked,
-- however many it has fetched, at one door.
SET LOCAL ROLE vst_owner;

CREATE OR REPLACE FUNCTION vst.enter_by(held uuid, OUT state text, OUT has_unbounded_seats boolean)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(vst.door(vst.current_org())),
            pg_advisory_xact_lock_shared(
                vst.door(COALESCE((SELECT c.parent_id FROM vst.credentials c WHERE c.key_id = held), held)));
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

RESET ROLE;
