-- A delivery names the event or the line of usage that it tells of; its text is made from the record when
-- it is sent, so that what is sealed there, or taken away, lies open nowhere else.
-- No reference to the webhook: it would lock the one row in every commit of the org, and fail a sign-in
-- whose webhook goes at that moment. What is due to a webhook that is gone is given up when its turn comes.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.deliveries
    ADD COLUMN evt_id   uuid,
    ADD COLUMN meter    text,
    ADD COLUMN usage_id text,
    DROP COLUMN payload,
    DROP CONSTRAINT deliveries_org_id_whk_id_fkey;

RESET ROLE;
