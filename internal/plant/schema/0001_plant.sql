-- SPDX-License-Identifier: Apache-2.0
--
-- The plant: what the ledgers of many stations say, under the name of each log
-- (plant/station/epoch) and the number of the entry. Nothing is ever changed.

CREATE TABLE log (
    origin  text PRIMARY KEY,
    station text NOT NULL,
    epoch   integer NOT NULL CHECK (epoch > 0),
    size    bigint NOT NULL CHECK (size >= 0),     -- entries imported: 1 to size, all of them
    proven  bigint NOT NULL CHECK (proven >= 0),   -- size of the newest checkpoint whose root was computed again
    UNIQUE (station, epoch)
);

CREATE TABLE entry (
    origin  text NOT NULL,
    seq     bigint NOT NULL CHECK (seq > 0),
    body    text NOT NULL,    -- RFC 8785 JSON: the very bytes that the station hashed
    leaf    bytea NOT NULL CHECK (leaf = sha256('\x00'::bytea || convert_to(body, 'UTF8'))),  -- RFC 6962, 2.1
    kind    text GENERATED ALWAYS AS (body::jsonb ->> 'kind') STORED,
    time    text GENERATED ALWAYS AS (body::jsonb ->> 'time') STORED,
    serial  text GENERATED ALWAYS AS (body::jsonb ->> 'serial') STORED,
    model   text GENERATED ALWAYS AS (body::jsonb ->> 'model') STORED,
    uid     text GENERATED ALWAYS AS (body::jsonb ->> 'uid') STORED,
    spki    text GENERATED ALWAYS AS (body::jsonb ->> 'spki_sha256') STORED,
    cert    text GENERATED ALWAYS AS (body::jsonb ->> 'cert_sha256') STORED,
    outcome text GENERATED ALWAYS AS (body::jsonb ->> 'outcome') STORED,
    PRIMARY KEY (origin, seq)
);
CREATE INDEX entry_serial ON entry (serial) WHERE serial IS NOT NULL;
CREATE INDEX entry_unit ON entry (uid, model) WHERE uid IS NOT NULL;
CREATE INDEX entry_spki ON entry (spki) WHERE spki IS NOT NULL;
CREATE INDEX entry_cert ON entry (cert) WHERE cert IS NOT NULL;

CREATE TABLE blob (
    sha256 bytea PRIMARY KEY,
    bytes  bytea NOT NULL CHECK (sha256 = sha256(bytes))
);

-- Signed checkpoints, those that bundles were made under included: these may be ahead of the entries.
CREATE TABLE checkpoint (
    origin text NOT NULL,
    size   bigint NOT NULL CHECK (size >= 0),
    note   text NOT NULL,
    PRIMARY KEY (origin, size)
);

CREATE TABLE bundle (
    sha256   bytea PRIMARY KEY,
    file     text NOT NULL,
    station  text NOT NULL,
    created  text NOT NULL,      -- as the bundle says
    entries  bigint NOT NULL,
    added    bigint NOT NULL,    -- of these, not there before
    imported timestamptz NOT NULL
);

-- What was not imported, and why. For a fork, the two signed checkpoints that cannot both be of one history.
CREATE TABLE quarantine (
    sha256   bytea NOT NULL,
    file     text NOT NULL,
    station  text NOT NULL,
    reason   text NOT NULL CHECK (reason IN ('invalid', 'fork')),
    detail   text NOT NULL,
    ours     text,
    theirs   text,
    seen     timestamptz NOT NULL,
    PRIMARY KEY (sha256, reason, detail)
);

-- What this plant has confirmed, and to whom.
CREATE TABLE cosignature (
    origin text NOT NULL,
    size   bigint NOT NULL,
    key    text NOT NULL,        -- verifier key of the plant
    note   text NOT NULL,        -- the checkpoint with its signatures
    PRIMARY KEY (origin, size, key)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the plant''s records are not changed: % on %', TG_OP, TG_TABLE_NAME; END $$;
CREATE TRIGGER entry_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON entry EXECUTE FUNCTION refuse_change();
CREATE TRIGGER blob_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON blob EXECUTE FUNCTION refuse_change();
CREATE TRIGGER checkpoint_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoint EXECUTE FUNCTION refuse_change();
CREATE TRIGGER quarantine_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON quarantine EXECUTE FUNCTION refuse_change();
CREATE TRIGGER cosignature_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON cosignature EXECUTE FUNCTION refuse_change();
