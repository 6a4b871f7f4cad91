-- One more reason to hold: a change of a group that takes what it gave from too many at once.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.holds
    DROP CONSTRAINT holds_reason_check,
    ADD CONSTRAINT holds_reason_check
        CHECK (reason IN ('share', 'last_administrator', 'role_by_hand', 'group'));

RESET ROLE;
