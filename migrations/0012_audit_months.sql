-- The record's months, made well ahead by the server itself: it may call one function that makes them,
-- and may make no other table. A month is filled with what the default partition caught of it.
SET LOCAL ROLE vst_owner;

CREATE OR REPLACE FUNCTION vst.make_audit_month(first_day date) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    month   text := 'audit_events_' || to_char(first_day, 'YYYYMM');
    begins  timestamptz := date_trunc('month', first_day::timestamp) AT TIME ZONE 'UTC';
    ends    timestamptz := (date_trunc('month', first_day::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass('vst.' || month) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Made apart and then attached: CREATE … PARTITION OF would lock out every sign-in.
    EXECUTE format('CREATE TABLE vst.%I (LIKE vst.audit_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', month);
    -- FORCE blinds the owner too. Whoever reads the default partition waits until this commits.
    ALTER TABLE vst.audit_events_default NO FORCE ROW LEVEL SECURITY;
    EXECUTE format('INSERT INTO vst.%I SELECT * FROM vst.audit_events_default WHERE at >= $1 AND at < $2', month)
      USING begins, ends;
    DELETE FROM vst.audit_events_default WHERE at >= begins AND at < ends;
    ALTER TABLE vst.audit_events_default FORCE ROW LEVEL SECURITY;
    EXECUTE format('ALTER TABLE vst.%I ENABLE ROW LEVEL SECURITY', month);
    EXECUTE format('ALTER TABLE vst.%I FORCE ROW LEVEL SECURITY', month);
    EXECUTE format('ALTER TABLE vst.audit_events ATTACH PARTITION vst.%I FOR VALUES FROM (%L) TO (%L)',
                   month, begins, ends);
END
$$;

-- This month and those ahead of it; answers how many were made. Bounded, because the server calls it.
CREATE FUNCTION vst.make_audit_months(today date, ahead int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vst, pg_temp
AS $$
DECLARE
    month date;
    made  int := 0;
BEGIN
    IF ahead NOT BETWEEN 1 AND 36 OR today NOT BETWEEN current_date - 31 AND current_date + 366 THEN
        RAISE EXCEPTION 'make_audit_months: out of bounds';
    END IF;
    -- A long reader of the default partition makes this fail, and come again, rather than wait.
    PERFORM set_config('lock_timeout', '2s', true);
    PERFORM pg_advisory_xact_lock(hashtext('vst.make_audit_months'));
    FOR month IN
        SELECT (date_trunc('month', today::timestamp) + make_interval(months => m))::date
          FROM generate_series(0, ahead) AS m
    LOOP
        IF to_regclass('vst.audit_events_' || to_char(month, 'YYYYMM')) IS NULL THEN
            PERFORM vst.make_audit_month(month);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION vst.make_audit_months(date, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vst.make_audit_months(date, int) TO vst_app;

RESET ROLE;
