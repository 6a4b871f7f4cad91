-- Service accounts: programs of an org that fetch access tokens by a secret (OAuth client credentials). Their
-- secrets are credentials like others, of which two live at once.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.service_accounts (
    org_id     uuid NOT NULL REFERENCES vst.orgs,
    svc_id     uuid NOT NULL,
    name       text NOT NULL,
    roles      text[] NOT NULL,
    audience   text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, svc_id)
);

ALTER TABLE vst.credentials
    DROP CONSTRAINT credentials_kind_check,
    ADD CONSTRAINT credentials_kind_check
        CHECK (kind IN ('scim', 'scim_secret', 'scim_access', 'org_key', 'service_secret'));
ALTER TABLE vst.route_credential
    DROP CONSTRAINT route_credential_kind_check,
    ADD CONSTRAINT route_credential_kind_check
        CHECK (kind IN ('scim', 'scim_secret', 'scim_access', 'org_key', 'service_secret'));
CREATE INDEX apps_by_audience ON vst.apps (audience);

-- The audiences that a token of this org may have, two at most: this one, or without one any of an app that
-- serves the org.
CREATE FUNCTION vst.audiences_of(org uuid, wanted text) RETURNS text[]
LANGUAGE sql STABLE
AS $$
    SELECT ARRAY(SELECT DISTINCT a.audience
                   FROM vst.apps a
                  WHERE (wanted IS NULL OR a.audience = wanted)
                    AND (a.all_orgs
                         OR EXISTS (SELECT 1 FROM vst.app_orgs s WHERE s.app_id = a.app_id AND s.org_id = org))
                  LIMIT 2)
$$;

-- What the app of such an audience has chosen to have in its tokens.
CREATE FUNCTION vst.claims_of(org uuid, named text[]) RETURNS text[]
LANGUAGE sql STABLE
AS $$
    SELECT ARRAY(SELECT DISTINCT chosen.claim
                   FROM vst.apps a
                  CROSS JOIN UNNEST(a.claims) AS chosen(claim)
                  WHERE a.audience = ANY (named)
                    AND (a.all_orgs
                         OR EXISTS (SELECT 1 FROM vst.app_orgs s WHERE s.app_id = a.app_id AND s.org_id = org)))
$$;

-- The org's plan by name, and what it has of each kind; NULL where it is not bounded. Of the caller's own org.
CREATE FUNCTION vst.entitlements() RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object('plan', o.plan) || COALESCE(to_jsonb(p) - 'name' - 'changed_at', '{}')
      FROM vst.orgs o
      LEFT JOIN vst.plans p ON p.name = o.plan
$$;

-- What a service account's token is minted from, in one trip: its secret leads to the org by the gate's own
-- door, and one statement behind it reads all of one instant, the secret once more among it.
CREATE TYPE vst.service_grant AS (
    org_id    uuid,
    state     text,
    key_id    uuid,
    roles     text[],
    head      bigint,
    audiences text[],
    claims    text[],
    plan      jsonb,
    alg       text
);
CREATE FUNCTION vst.glance_service_grant(shown bytea, account uuid, resource text, at timestamptz)
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
         CROSS JOIN LATERAL vst.audiences_of(s.org_id, COALESCE(resource, s.audience)) AS a(names)
         CROSS JOIN LATERAL vst.claims_of(s.org_id, a.names) AS chosen(claims)
         WHERE s.svc_id = account
           AND c.key_id = found_key
           AND c.revoked_at IS NULL
           AND (c.expires_at IS NULL OR c.expires_at > at);
END
$$;

-- What such a token is judged by.
CREATE TYPE vst.service_row AS (
    name    text,
    revoked bigint
);
CREATE FUNCTION vst.glance_service_row(org uuid, reach text, seat uuid, account uuid, named text[])
RETURNS SETOF vst.service_row
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM vst.enter(org, reach, seat);
    RETURN QUERY
        SELECT s.name,
               COALESCE((SELECT max(r.seq) FROM vst.revocations r WHERE r.scope = ANY (named)), 0)
          FROM vst.service_accounts s
         WHERE s.svc_id = account;
END
$$;

SELECT vst.enclose('vst.service_accounts', 'org', 'SELECT, INSERT, UPDATE, DELETE');

RESET ROLE;
