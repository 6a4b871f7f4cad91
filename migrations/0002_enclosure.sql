-- The enclosure: the only writer of tenant policies.
--
-- A transaction carries three facts, set by the server inside its BEGIN message and gone with it:
--   app.org_id    which org
--   app.reach     how far inside it: org | team | seat
--   app.user_id   whose seat (reach seat) · app.team_ids  which teams (reach team)
-- An unset fact reads as '' after a commit, not as NULL: both mean "sees nothing".
SET LOCAL ROLE vst_owner;

CREATE FUNCTION vst.current_org() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT NULLIF(current_setting('app.org_id', true), '')::uuid $$;

CREATE FUNCTION vst.current_reach() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT NULLIF(current_setting('app.reach', true), '') $$;

CREATE FUNCTION vst.current_seat() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT NULLIF(current_setting('app.user_id', true), '')::uuid $$;

CREATE FUNCTION vst.current_teams() RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT COALESCE(NULLIF(current_setting('app.team_ids', true), '')::uuid[], '{}') $$;

-- enclose(table, kind, grants)
--   kind 'org'   rows of the org, for any reach
--   kind 'team'  has team_id; reach team sees its teams, reach seat its own rows where there is a user_id
--   kind 'seat'  has user_id; reach seat sees its own rows, reach team none
-- Last line of every migration that makes a tenant table.
CREATE FUNCTION vst.enclose(target regclass, kind text, grants text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    has_seat boolean;
    narrow text;
BEGIN
    IF grants ~* 'truncate|all|references|trigger' THEN
        RAISE EXCEPTION 'enclose: % would look past the policies', grants;
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY enclosed ON %s AS PERMISSIVE FOR ALL TO PUBLIC
         USING (org_id = (SELECT vst.current_org()) AND (SELECT vst.current_reach()) IN (''org'', ''team'', ''seat''))
         WITH CHECK (org_id = (SELECT vst.current_org()) AND (SELECT vst.current_reach()) IN (''org'', ''team'', ''seat''))',
        target);
    IF kind IN ('team', 'seat') THEN
        SELECT EXISTS (SELECT 1 FROM pg_attribute
                       WHERE attrelid = target AND attname = 'user_id' AND NOT attisdropped)
          INTO has_seat;
        narrow := '(SELECT vst.current_reach()) = ''org''';
        IF kind = 'team' THEN
            narrow := narrow || ' OR ((SELECT vst.current_reach()) = ''team'' AND team_id = ANY ((SELECT vst.current_teams())::uuid[]))';
        END IF;
        IF has_seat THEN
            narrow := narrow || ' OR ((SELECT vst.current_reach()) = ''seat'' AND user_id = (SELECT vst.current_seat()))';
        END IF;
        EXECUTE format('CREATE POLICY narrowed ON %s AS RESTRICTIVE FOR ALL TO PUBLIC USING (%s) WITH CHECK (%s)',
                       target, narrow, narrow);
    ELSIF kind <> 'org' THEN
        RAISE EXCEPTION 'enclose: unknown kind %', kind;
    END IF;
    EXECUTE format('GRANT %s ON %s TO vst_app', grants, target);
END
$$;
REVOKE ALL ON FUNCTION vst.enclose(regclass, text, text) FROM PUBLIC;

RESET ROLE;
