-- A plan is a name and what an org of it may have. A plan that is not here, and a quota that is NULL, hold
-- nobody back. Written by the platform's operators; no customer's data.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.plans (
    name        text PRIMARY KEY,
    seats       bigint CHECK (seats >= 0),
    connections bigint CHECK (connections >= 0),
    directories bigint CHECK (directories >= 0),
    domains     bigint CHECK (domains >= 0),
    hosts       bigint CHECK (hosts >= 0),
    teams       bigint CHECK (teams >= 0),
    webhooks    bigint CHECK (webhooks >= 0),
    keys        bigint CHECK (keys >= 0),
    changed_at  timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON vst.plans TO vst_app;

-- Seats are counted last of all, at the commit: who ends a person has the org's revocation head before or after
-- the person's row is written, and must not meet a count in between.
DROP TRIGGER count_seat ON vst.users;
CREATE CONSTRAINT TRIGGER count_seat AFTER INSERT OR DELETE OR UPDATE OF active ON vst.users
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION vst.count_seat();

-- When an org was last told that a quota is nearly or wholly used, or that somebody was turned away by it.
CREATE TABLE vst.quota_notices (
    org_id  uuid NOT NULL REFERENCES vst.orgs,
    quota   text NOT NULL,
    notice  text NOT NULL CHECK (notice IN ('near', 'reached', 'refused')),
    told_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, quota, notice)
);

-- How many the org has of one kind. A person who is not active has no seat; a key counts until it is revoked.
-- STABLE: counted as of the statement that calls it. In plpgsql, which plans each count once a session.
CREATE FUNCTION vst.in_use(wanted text) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    CASE wanted
    WHEN 'seats'       THEN RETURN (SELECT COALESCE(sum(active), 0)::bigint FROM vst.seat_counts);
    WHEN 'connections' THEN RETURN (SELECT count(*) FROM vst.connections);
    WHEN 'directories' THEN RETURN (SELECT count(*) FROM vst.directories);
    WHEN 'domains'     THEN RETURN (SELECT count(*) FROM vst.domains);
    WHEN 'hosts'       THEN RETURN (SELECT count(*) FROM vst.org_hosts);
    WHEN 'teams'       THEN RETURN (SELECT count(*) FROM vst.teams);
    WHEN 'webhooks'    THEN RETURN (SELECT count(*) FROM vst.webhooks);
    WHEN 'keys'        THEN RETURN (SELECT count(*)
                                      FROM vst.credentials
                                     WHERE holder_id = (SELECT vst.current_org())
                                       AND kind = 'org_key'
                                       AND revoked_at IS NULL);
    END CASE;
END
$$;

-- What is asked before one more of a kind is made: the plan's quota and how many there are, counted so that of
-- many at one instant no two take the last. `held_max` is what any org may have of it, whatever its plan.
--
-- READ COMMITTED and VOLATILE: each statement in here sees what was committed when it began, so what is counted
-- after the line was had is everybody before. Near the bound one asks after the other, until its commit. Far
-- from it many ask at once, and not one of those near it: as many as there can be connections, so many short of
-- the bound, cannot go beyond it together. `unsure`: it was far and is near now; to be asked again from the
-- start, because whoever shares the line cannot have it alone.
CREATE FUNCTION vst.take_room(wanted text, held_max bigint)
RETURNS TABLE (of_plan text, most bigint, taken bigint, unsure boolean, near_at timestamptz, reached_at timestamptz)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    line    bigint := hashtextextended('quota ' || wanted || ' of ' || vst.current_org()::text, 0);
    abreast bigint := current_setting('max_connections')::bigint;
    bound   bigint;
    far     boolean;
BEGIN
    SELECT o.plan, (to_jsonb(p) ->> wanted)::bigint
      INTO of_plan, most
      FROM vst.orgs o
      LEFT JOIN vst.plans p ON p.name = o.plan;
    unsure := false;
    bound := LEAST(most, held_max);
    IF bound IS NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT vst.in_use(wanted) < bound - 2 * abreast INTO far;
    IF far THEN
        PERFORM pg_advisory_xact_lock_shared(line);
    ELSE
        PERFORM pg_advisory_xact_lock(line);
    END IF;
    SELECT vst.in_use(wanted) INTO taken;
    unsure := far AND taken >= bound - abreast;
    SELECT max(n.told_at) FILTER (WHERE n.notice = 'near'), max(n.told_at) FILTER (WHERE n.notice = 'reached')
      INTO near_at, reached_at
      FROM vst.quota_notices n
     WHERE n.quota = wanted;
    RETURN NEXT;
END
$$;

-- How many orgs name a plan: a number and no more.
CREATE FUNCTION vst.gate_plan_orgs(wanted text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = vst, pg_temp
AS $$ SELECT count(*) FROM route_org WHERE plan = wanted AND state <> 'purged' $$;
REVOKE ALL ON FUNCTION vst.gate_plan_orgs(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vst.gate_plan_orgs(text) TO vst_app;
ALTER FUNCTION vst.gate_plan_orgs(text) OWNER TO vst_gate;

SELECT vst.enclose('vst.quota_notices', 'org', 'SELECT, INSERT, UPDATE, DELETE');

RESET ROLE;
