-- What the planner knows. Two things made statements dear that are cheap.
SET LOCAL ROLE vst_owner;

-- A function in SQL that is not inlined is planned anew by each statement that calls it, and a definer is
-- never inlined: a quarter of a millisecond for a look-up of microseconds, before every request. The doors
-- of 0003, word for word, in a language that keeps its plans.
CREATE OR REPLACE FUNCTION vst.gate_org(wanted uuid) RETURNS SETOF vst.route_org
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ BEGIN RETURN QUERY SELECT * FROM route_org r WHERE r.org_id = wanted; END $$;

CREATE OR REPLACE FUNCTION vst.gate_slug(wanted text) RETURNS SETOF vst.route_org
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ BEGIN RETURN QUERY SELECT * FROM route_org r WHERE r.slug = wanted; END $$;

CREATE OR REPLACE FUNCTION vst.gate_host(wanted text) RETURNS SETOF vst.route_org
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ BEGIN RETURN QUERY SELECT o.* FROM route_host h JOIN route_org o USING (org_id) WHERE h.host = wanted; END $$;

CREATE OR REPLACE FUNCTION vst.gate_domain(wanted text) RETURNS SETOF vst.route_org
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ BEGIN RETURN QUERY SELECT o.* FROM route_domain d JOIN route_org o USING (org_id) WHERE d.name = wanted; END $$;

CREATE OR REPLACE FUNCTION vst.gate_connection(wanted uuid) RETURNS SETOF vst.route_org
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ BEGIN RETURN QUERY SELECT o.* FROM route_connection c JOIN route_org o USING (org_id) WHERE c.con_id = wanted; END $$;

CREATE OR REPLACE FUNCTION vst.gate_credential(wanted bytea, of_kind text)
RETURNS TABLE (org_id uuid, slug text, state text, plan text, region text, cell text,
               key_id uuid, holder_id uuid, scopes text[], expires_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT o.org_id, o.slug, o.state, o.plan, o.region, o.cell, c.key_id, c.holder_id, c.scopes, c.expires_at
          FROM route_credential c
          JOIN route_org o ON o.org_id = c.org_id
         WHERE c.digest = wanted
           AND c.kind = of_kind;
END
$$;

-- Every index begins with org_id, so to a planner that knows nothing of a table any of them is as good as the
-- right one, and a connection keeps its plan. Autovacuum looks once a minute; in its first minute a
-- directory brings ten thousand people, each looked up by a walk through all before. So the server
-- has small tables measured as they double. Large ones are known, and autovacuum's.
CREATE FUNCTION vst.measure_grown() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vst, pg_temp
AS $$
DECLARE
    grown    text;
    measured int := 0;
BEGIN
    FOR grown IN
        SELECT c.oid::regclass::text
          FROM pg_class c
         WHERE c.relnamespace = 'vst'::regnamespace
           AND c.relkind = 'r'
           AND c.relpages < 1000
           AND pg_relation_size(c.oid) / current_setting('block_size')::int > 2 * c.relpages + 4
    LOOP
        EXECUTE 'ANALYZE (SKIP_LOCKED) ' || grown;
        measured := measured + 1;
    END LOOP;
    RETURN measured;
END
$$;
REVOKE ALL ON FUNCTION vst.measure_grown() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vst.measure_grown() TO vst_app;

RESET ROLE;
