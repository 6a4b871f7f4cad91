-- The gate: from something a stranger holds (a host, a slug, a domain, a connection, a credential's
-- digest) to an org. The routing tables hold ids and digests, never a person's data; the server has no
-- right on them, only EXECUTE on one function per door. They follow the enclosed tables by trigger.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.route_org (
    org_id uuid PRIMARY KEY,
    slug   text NOT NULL UNIQUE,
    state  text NOT NULL,
    plan   text NOT NULL,
    region text NOT NULL,
    cell   text NOT NULL DEFAULT 'main'
);
CREATE TABLE vst.route_host (
    host   text PRIMARY KEY,
    org_id uuid NOT NULL REFERENCES vst.route_org
);
CREATE TABLE vst.route_domain (
    name   text PRIMARY KEY,
    org_id uuid NOT NULL REFERENCES vst.route_org
);
CREATE TABLE vst.route_connection (
    con_id uuid PRIMARY KEY,
    org_id uuid NOT NULL REFERENCES vst.route_org
);
CREATE TABLE vst.route_credential (
    digest     bytea PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('scim', 'org_key')),
    org_id     uuid NOT NULL REFERENCES vst.route_org,
    key_id     uuid NOT NULL,
    holder_id  uuid NOT NULL,
    scopes     text[] NOT NULL,
    expires_at timestamptz
);
CREATE INDEX route_credential_by_key ON vst.route_credential (org_id, key_id);
-- What waits for a job, and in which org. One row an item: no two transactions meet on one.
CREATE TABLE vst.pending (
    kind    text NOT NULL,
    org_id  uuid NOT NULL,
    item_id uuid NOT NULL,
    due_at  timestamptz NOT NULL,
    PRIMARY KEY (kind, org_id, item_id)
);
CREATE INDEX pending_by_due ON vst.pending (kind, due_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON vst.pending TO vst_app;
GRANT SELECT, INSERT, UPDATE, DELETE
   ON vst.route_org, vst.route_host, vst.route_domain, vst.route_connection, vst.route_credential TO vst_gate;

CREATE FUNCTION vst.gate_org(wanted uuid) RETURNS SETOF vst.route_org
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ SELECT * FROM route_org WHERE org_id = wanted $$;

CREATE FUNCTION vst.gate_slug(wanted text) RETURNS SETOF vst.route_org
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ SELECT * FROM route_org WHERE slug = wanted $$;

CREATE FUNCTION vst.gate_host(wanted text) RETURNS SETOF vst.route_org
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ SELECT o.* FROM route_host h JOIN route_org o USING (org_id) WHERE h.host = wanted $$;

CREATE FUNCTION vst.gate_domain(wanted text) RETURNS SETOF vst.route_org
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ SELECT o.* FROM route_domain d JOIN route_org o USING (org_id) WHERE d.name = wanted $$;

CREATE FUNCTION vst.gate_connection(wanted uuid) RETURNS SETOF vst.route_org
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ SELECT o.* FROM route_connection c JOIN route_org o USING (org_id) WHERE c.con_id = wanted $$;

CREATE FUNCTION vst.gate_credential(wanted bytea, of_kind text)
RETURNS TABLE (org_id uuid, slug text, state text, plan text, region text, cell text,
               key_id uuid, holder_id uuid, scopes text[], expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$
    SELECT o.org_id, o.slug, o.state, o.plan, o.region, o.cell, c.key_id, c.holder_id, c.scopes, c.expires_at
      FROM route_credential c
      JOIN route_org o USING (org_id)
     WHERE c.digest = wanted
       AND c.kind = of_kind
$$;

-- For the operator's list alone: ids and names of orgs, in order of birth.
CREATE FUNCTION vst.gate_orgs(after uuid, at_most int) RETURNS SETOF vst.route_org
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$
    SELECT * FROM route_org
     WHERE org_id > COALESCE(after, '00000000-0000-0000-0000-000000000000')
     ORDER BY org_id
     LIMIT LEAST(at_most, 201)
$$;

DO $$
DECLARE
    door text;
BEGIN
    FOREACH door IN ARRAY ARRAY[
        'gate_org(uuid)', 'gate_slug(text)', 'gate_host(text)', 'gate_domain(text)', 'gate_connection(uuid)',
        'gate_credential(bytea, text)', 'gate_orgs(uuid, int)'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION vst.%s FROM PUBLIC', door);
        EXECUTE format('GRANT EXECUTE ON FUNCTION vst.%s TO vst_app', door);
        EXECUTE format('ALTER FUNCTION vst.%s OWNER TO vst_gate', door);
    END LOOP;
END
$$;

-- Triggers that keep the routes: called with the name of the route they follow.
CREATE FUNCTION vst.follow_route() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vst, pg_temp
AS $$
BEGIN
    CASE TG_TABLE_NAME
    WHEN 'orgs' THEN
        INSERT INTO route_org (org_id, slug, state, plan, region)
        VALUES (NEW.org_id, NEW.slug, NEW.state, NEW.plan, NEW.region)
        ON CONFLICT (org_id) DO UPDATE
            SET slug = EXCLUDED.slug, state = EXCLUDED.state, plan = EXCLUDED.plan, region = EXCLUDED.region;
    WHEN 'org_hosts' THEN
        IF TG_OP <> 'INSERT' THEN DELETE FROM route_host WHERE host = OLD.host AND org_id = OLD.org_id; END IF;
        IF TG_OP <> 'DELETE' THEN INSERT INTO route_host VALUES (NEW.host, NEW.org_id); END IF;
    WHEN 'domains' THEN
        IF TG_OP <> 'INSERT' THEN DELETE FROM route_domain WHERE name = OLD.name AND org_id = OLD.org_id; END IF;
        IF TG_OP <> 'DELETE' THEN
            IF NEW.state = 'verified' THEN INSERT INTO route_domain VALUES (NEW.name, NEW.org_id); END IF;
        END IF;
    WHEN 'connections' THEN
        IF TG_OP = 'INSERT' THEN INSERT INTO route_connection VALUES (NEW.con_id, NEW.org_id); END IF;
        IF TG_OP = 'DELETE' THEN DELETE FROM route_connection WHERE con_id = OLD.con_id; END IF;
    WHEN 'credentials' THEN
        IF TG_OP <> 'INSERT' THEN DELETE FROM route_credential WHERE digest = OLD.digest AND org_id = OLD.org_id; END IF;
        IF TG_OP <> 'DELETE' THEN
            IF NEW.revoked_at IS NULL THEN
                INSERT INTO route_credential
                VALUES (NEW.digest, NEW.kind, NEW.org_id, NEW.key_id, NEW.holder_id, NEW.scopes, NEW.expires_at);
            END IF;
        END IF;
    END CASE;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vst.follow_route() FROM PUBLIC;
ALTER FUNCTION vst.follow_route() OWNER TO vst_gate;

RESET ROLE;
