-- What has grown fourfold is measured, and not what has doubled: whoever measures a table ends every connection's plans of
-- it, and a sign-in that has to plan its statements anew takes twice as long. And small is what is small now: how many
-- pages a table had when it was measured says nothing of one that nobody has measured yet, as after an upgrade of the
-- server; then every table was measured here, the largest among them.
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
         CROSS JOIN LATERAL (
               SELECT pg_relation_size(c.oid) / current_setting('block_size')::int AS pages
                OFFSET 0
               ) now
         WHERE c.relnamespace = 'vst'::regnamespace
           AND c.relkind = 'r'
           AND now.pages < 1000
           AND (now.pages > 4 * c.relpages + 4
                OR pg_stat_get_live_tuples(c.oid) > 4 * greatest(c.reltuples, 0) + 1000)
    LOOP
        EXECUTE 'ANALYZE (SKIP_LOCKED) ' || grown;
        measured := measured + 1;
    END LOOP;
    RETURN measured;
END
$$;

RESET ROLE;
