-- Who may touch the database.
--   vst_owner  owns every table and runs migrations; no process serves as it
--   vst_gate   owns the routing tables' functions; nobody logs in as it
--   vst_app    the server
-- None is a superuser, none bypasses row level security: a managed Postgres will do.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['vst_owner', 'vst_gate', 'vst_app'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', wanted);
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        END IF;
    END LOOP;
END
$$;

-- The owner hands the gate's functions to vst_gate; it needs membership for that.
GRANT vst_gate TO vst_owner;

CREATE SCHEMA vst AUTHORIZATION vst_owner;
GRANT USAGE, CREATE ON SCHEMA vst TO vst_gate;
GRANT USAGE ON SCHEMA vst TO vst_app;
REVOKE ALL ON SCHEMA vst FROM PUBLIC;
