-- What Redis must still hold if it has lost nothing: compared by a job every few seconds. One row, the
-- platform's own; Redis holds no truth, so this only says when it must be filled again.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.redis_guard (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation uuid NOT NULL,
    beat       bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON vst.redis_guard TO vst_app;

RESET ROLE;
