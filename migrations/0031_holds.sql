-- A hold names people, and its approval is about them; one more reason to hold.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.holds
    DROP CONSTRAINT holds_reason_check,
    ADD CONSTRAINT holds_reason_check CHECK (reason IN ('share', 'last_administrator', 'role_by_hand'));

RESET ROLE;
