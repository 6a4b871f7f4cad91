-- What a directory looks people up by beside their name: every address with its type, and the display
-- name in its compared form. Both follow the person's row, and are nothing to sign in by.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.user_emails (
    org_id     uuid NOT NULL,
    user_id    uuid NOT NULL,
    value_norm text NOT NULL,
    kind_norm  text NOT NULL,
    PRIMARY KEY (org_id, user_id, value_norm, kind_norm),
    FOREIGN KEY (org_id, user_id) REFERENCES vst.users (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX user_emails_by_value ON vst.user_emails (org_id, value_norm);

ALTER TABLE vst.users ADD COLUMN display_name_norm text;
CREATE INDEX users_by_display_name ON vst.users (org_id, display_name_norm);

SELECT vst.enclose('vst.user_emails', 'seat', 'SELECT, INSERT, DELETE');

RESET ROLE;
