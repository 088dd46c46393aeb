-- SPDX-License-Identifier: Apache-2.0
-- The ledger's file format, version 1. What is stored is evidence: no statement of the program updates or deletes
-- anything but claim, and the triggers refuse it to everybody who has not removed them first (which the schema digest shows).

PRAGMA application_id = 1397978183; -- "SStG"
PRAGMA user_version = 1;

-- The entries. id is epoch * 2^40 + seq, so that one number orders the whole ledger; seq is dense from 1 in each epoch.
-- body is canonical JSON (RFC 8785), the very bytes that are hashed: leaf = SHA-256(00 | body).
-- The other columns are read out of body and cannot disagree with it.
CREATE TABLE entry (
  id            INTEGER PRIMARY KEY CHECK (id > 1099511627776),
  body          TEXT NOT NULL CHECK (json_valid(body)),
  leaf          BLOB NOT NULL CHECK (length(leaf) = 32),
  epoch         INTEGER AS (id >> 40) VIRTUAL,
  seq           INTEGER AS (id & 1099511627775) VIRTUAL,
  kind          TEXT AS (body ->> '$.kind') VIRTUAL,
  time          TEXT AS (body ->> '$.time') VIRTUAL,
  operator      TEXT AS (body ->> '$.operator') VIRTUAL,
  run           TEXT AS (body ->> '$.run') VIRTUAL,
  serial        TEXT AS (body ->> '$.serial') VIRTUAL,
  model         TEXT AS (body ->> '$.model') VIRTUAL,
  uid           TEXT AS (body ->> '$.uid') VIRTUAL,
  work_order    TEXT AS (body ->> '$.order') VIRTUAL,
  spki_sha256   TEXT AS (body ->> '$.spki_sha256') VIRTUAL,
  csr_r         TEXT AS (body ->> '$.csr_r') VIRTUAL,
  cn            TEXT AS (body ->> '$.cn') VIRTUAL,
  cert_sha256   TEXT AS (body ->> '$.cert_sha256') VIRTUAL,
  cert_serial   TEXT AS (body ->> '$.cert_serial') VIRTUAL,
  outcome       TEXT AS (body ->> '$.outcome') VIRTUAL,
  fault         TEXT AS (body ->> '$.fault') VIRTUAL,
  attempt       INTEGER AS (body ->> '$.attempt') VIRTUAL
) STRICT;

CREATE INDEX entry_time        ON entry (time);
CREATE INDEX entry_kind        ON entry (kind);
CREATE INDEX entry_operator    ON entry (operator);
CREATE INDEX entry_run         ON entry (run)           WHERE run IS NOT NULL;
CREATE INDEX entry_serial      ON entry (serial)        WHERE serial IS NOT NULL;
CREATE INDEX entry_unit        ON entry (uid, model, kind) WHERE uid IS NOT NULL;
CREATE INDEX entry_order       ON entry (work_order)    WHERE work_order IS NOT NULL;
CREATE INDEX entry_spki        ON entry (spki_sha256)   WHERE spki_sha256 IS NOT NULL;
CREATE INDEX entry_csr_r       ON entry (csr_r)         WHERE csr_r IS NOT NULL;
CREATE INDEX entry_cn          ON entry (cn)            WHERE cn IS NOT NULL;
CREATE INDEX entry_cert        ON entry (cert_sha256)   WHERE cert_sha256 IS NOT NULL;
CREATE INDEX entry_cert_serial ON entry (cert_serial)   WHERE cert_serial IS NOT NULL;
CREATE INDEX entry_fault       ON entry (fault)         WHERE fault IS NOT NULL;
CREATE INDEX entry_outcome     ON entry (outcome)       WHERE outcome IS NOT NULL;
-- The counters of the line screen are answered from these two alone.
CREATE INDEX end_time  ON entry (time, outcome, attempt)             WHERE kind = 'end';
CREATE INDEX end_order ON entry (work_order, time, outcome, attempt) WHERE kind = 'end';

-- Certificates, requests, bytes to be signed, and whatever else an entry names by its SHA-256.
CREATE TABLE blob (
  sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
  bytes  BLOB NOT NULL
) STRICT;

-- The Merkle tree (RFC 6962) over the leaves of an epoch: stored hash numbers of golang.org/x/mod/sumdb/tlog from level 1 up.
-- Level 0 is entry.leaf. Derived: can be rebuilt from the entries.
CREATE TABLE node (
  epoch INTEGER NOT NULL,
  id    INTEGER NOT NULL,
  hash  BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (epoch, id)
) STRICT, WITHOUT ROWID;

-- Signed checkpoints (C2SP tlog-checkpoint). The one of size 0 is made with the ledger and binds it to its origin and key.
CREATE TABLE checkpoint (
  epoch INTEGER NOT NULL,
  size  INTEGER NOT NULL,
  note  TEXT NOT NULL,
  PRIMARY KEY (epoch, size)
) STRICT, WITHOUT ROWID;

-- What live units hold: serial, uid (as model/uid) and spki; run is a run without an end. epoch and seq name the entry that took it.
-- Derived: can be rebuilt from the entries.
CREATE TABLE claim (
  kind  TEXT NOT NULL,
  value TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq   INTEGER NOT NULL,
  PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER entry_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'ledger: entries are never changed'); END;
CREATE TRIGGER entry_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'ledger: entries are never deleted'); END;
-- The next entry of the epoch, or the first of the next epoch. Nothing else, so that REPLACE finds nothing to replace.
CREATE TRIGGER entry_dense BEFORE INSERT ON entry
  WHEN NEW.id IS NOT (SELECT max(id) + 1 FROM entry)
   AND NEW.id IS NOT (SELECT ((coalesce(max(id), 0) >> 40) + 1) * 1099511627776 + 1 FROM entry)
  BEGIN SELECT RAISE(ABORT, 'ledger: entry is not the next one'); END;

CREATE TRIGGER blob_update BEFORE UPDATE ON blob BEGIN SELECT RAISE(ABORT, 'ledger: blobs are never changed'); END;
CREATE TRIGGER blob_delete BEFORE DELETE ON blob BEGIN SELECT RAISE(ABORT, 'ledger: blobs are never deleted'); END;
CREATE TRIGGER blob_once BEFORE INSERT ON blob WHEN EXISTS (SELECT 1 FROM blob WHERE sha256 = NEW.sha256)
  BEGIN SELECT RAISE(ABORT, 'ledger: blobs are never replaced'); END;

CREATE TRIGGER node_update BEFORE UPDATE ON node BEGIN SELECT RAISE(ABORT, 'ledger: tree nodes are never changed'); END;
CREATE TRIGGER node_delete BEFORE DELETE ON node BEGIN SELECT RAISE(ABORT, 'ledger: tree nodes are never deleted'); END;
CREATE TRIGGER node_once BEFORE INSERT ON node WHEN NEW.id <= (SELECT max(id) FROM node WHERE epoch = NEW.epoch)
  BEGIN SELECT RAISE(ABORT, 'ledger: tree nodes are never replaced'); END;

CREATE TRIGGER checkpoint_update BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'ledger: checkpoints are never changed'); END;
CREATE TRIGGER checkpoint_delete BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'ledger: checkpoints are never deleted'); END;
CREATE TRIGGER checkpoint_grows BEFORE INSERT ON checkpoint WHEN NEW.size <= (SELECT max(size) FROM checkpoint WHERE epoch = NEW.epoch)
  BEGIN SELECT RAISE(ABORT, 'ledger: checkpoints only grow'); END;
