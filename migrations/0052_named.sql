-- Whom a directory asks for by user name, as it does before it makes somebody: one trip where a reading transaction
-- takes three. One row in any case: the org's state while the credential is good, NULL once it is not (0046), and the
-- person, or nobody.
SET LOCAL ROLE vst_owner;

CREATE FUNCTION vst.glance_named(org uuid, reach text, seat uuid, held uuid, named text)
RETURNS TABLE (
    state        text,
    user_id      uuid,
    user_name    text,
    external_id  text,
    active       boolean,
    email        text,
    display_name text,
    given_name   text,
    family_name  text,
    dir_id       uuid,
    attributes   jsonb,
    version      bigint,
    created_at   timestamptz,
    modified_at  timestamptz
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM vst.enter(org, reach, seat);
    RETURN QUERY
        SELECT entered.state, u.user_id, u.user_name, u.external_id, u.active, u.email, u.display_name, u.given_name,
               u.family_name, u.dir_id, u.attributes, u.version, u.created_at, u.modified_at
          FROM (SELECT vst.look_by(held) AS state) entered
          LEFT JOIN vst.users u ON u.user_name_norm = named;
END
$$;

RESET ROLE;
