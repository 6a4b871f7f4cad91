-- Only what is small is measured here, whichever way it grew: a large table takes its time on a slow disk, and the
-- server's limit for a statement would end the measuring of all of them, each time anew.
SET LOCAL ROLE vst_owner;

CREATE OR REPLACE FUNCTION vst.measure_grown() RETURNS int
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
           AND (pg_relation_size(c.oid) / current_setting('block_size')::int > 2 * c.relpages + 4
                OR pg_stat_get_live_tuples(c.oid) > 2 * greatest(c.reltuples, 0) + 1000)
    LOOP
        EXECUTE 'ANALYZE (SKIP_LOCKED) ' || grown;
        measured := measured + 1;
    END LOOP;
    RETURN measured;
END
$$;

RESET ROLE;
