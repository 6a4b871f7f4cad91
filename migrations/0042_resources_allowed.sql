-- For which other apps an app may ask for a token (RFC 8707): none, until the operator says so.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.apps ADD COLUMN resources text[] NOT NULL DEFAULT '{}';

-- The audience that an account was made with is its bound: `resource` may say it again, and nothing else.
CREATE OR REPLACE FUNCTION vst.glance_service_grant(shown bytea, account uuid, resource text, at timestamptz)
RETURNS SETOF vst.service_grant
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found_org uuid;
    found_key uuid;
BEGIN
    SELECT g.org_id, g.key_id
      INTO found_org, found_key
      FROM vst.gate_credential(shown, 'service_secret') g
     WHERE g.holder_id = account;
    IF found_org IS NULL THEN
        RETURN;
    END IF;
    PERFORM vst.enter(found_org, 'org', NULL);
    RETURN QUERY
        SELECT s.org_id, o.state, c.key_id, s.roles, h.head,
               a.names, chosen.claims,
               CASE WHEN 'entitlements' = ANY (chosen.claims) THEN vst.entitlements() END,
               (SELECT p.signing_alg FROM vst.apps p WHERE p.audience = a.names[1]
                   AND (p.all_orgs
                        OR EXISTS (SELECT 1 FROM vst.app_orgs v WHERE v.app_id = p.app_id AND v.org_id = s.org_id))
                 ORDER BY p.app_id LIMIT 1)
          FROM vst.service_accounts s
          JOIN vst.orgs o USING (org_id)
          JOIN vst.revocation_heads h USING (org_id)
          JOIN vst.credentials c USING (org_id)
         CROSS JOIN LATERAL (SELECT CASE WHEN resource <> s.audience THEN '{}'
                                         ELSE vst.audiences_of(s.org_id, COALESCE(s.audience, resource))
                                    END) AS a(names)
         CROSS JOIN LATERAL vst.claims_of(s.org_id, a.names) AS chosen(claims)
         WHERE s.svc_id = account
           AND c.key_id = found_key
           AND c.revoked_at IS NULL
           AND (c.expires_at IS NULL OR c.expires_at > at);
END
$$;

RESET ROLE;
