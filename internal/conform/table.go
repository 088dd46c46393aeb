// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"context"

	"provisioning.example/station/internal/enroll"
)

// anyState is the state of a check that leaves the board as it is.
const anyState enroll.State = 255

// A check is one row of the table. run begins on a board in state, with a key
// and objects of this run; it may leave it in another.
type check struct {
	id, section, what string
	state             enroll.State
	run               func(*bench, context.Context) error
}

// checks are all there are, in the order in which they are made: that of a
// board's life.
var checks = []check{
	{"connect/info", "1, Opening a port", "info is answered within 10 s of opening the port", anyState, (*bench).connected},

	{"frame/answer", "1, Lines", "answers come in lines of at most 127 bytes, each from column 0, cut at 4 characters of base64", anyState, (*bench).frameAnswer},
	{"frame/cr-lf", "1, Lines", "0D is accepted before 0A", anyState, (*bench).frameCRLF},
	{"frame/short-lines", "1, Lines", "a line may be shorter than 127 bytes", anyState, (*bench).frameShort},
	{"frame/text-before", "1, Lines", "text may stand before the marker on its line", anyState, (*bench).frameTextBefore},
	{"frame/last-marker", "1, Lines", "the last marker pair in a line counts", anyState, (*bench).frameLastMarker},
	{"frame/long-text", "1, Lines", "5000 bytes without 0A do no harm to what follows", anyState, (*bench).frameLongText},
	{"frame/half-packet", "1, Lines", "06 09 drops a half-received packet", anyState, (*bench).frameHalf},
	{"frame/stray", "1, Lines", "a stray 04 14 is dropped in silence", anyState, (*bench).frameStray},
	{"frame/base64", "1, Lines", "bad base64 is dropped in silence", anyState, (*bench).frameBase64},
	{"frame/crc", "1, Packet", "a bad CRC is dropped in silence", anyState, (*bench).frameCRC},
	{"frame/length", "1, Packet", "a length field that does not fit the packet is dropped in silence", anyState, (*bench).frameLength},
	{"frame/echo", "1, One request at a time", "its own answers, echoed, get no answer", anyState, (*bench).frameEcho},

	{"header/answer", "1, SMP header", "an answer has op + 1, version 1, flags 0, and group, sequence and command of the request", anyState, (*bench).headerAnswer},
	{"header/repeat", "1, One request at a time", "the same request with the same sequence is answered again", anyState, (*bench).headerRepeat},
	{"header/version", "1, SMP header", "a request with version 0 gets plain rc 12", anyState, (*bench).headerVersion},
	{"header/group", "1, Transport errors", "an unknown group gets plain rc 8, before the CBOR is looked at", anyState, (*bench).headerGroup},
	{"header/command", "1, Transport errors", "an unknown command gets plain rc 8, before the CBOR is looked at", anyState, (*bench).headerCommand},
	{"header/op", "3, Errors", "the wrong op for a command gets plain rc 8", anyState, (*bench).headerOp},

	{"cbor/definite", "1, SMP header", "answers have definite lengths", anyState, (*bench).cborDefinite},
	{"cbor/empty", "1, SMP header", "an empty payload means {}", anyState, (*bench).cborEmpty},
	{"cbor/unknown-keys", "1, SMP header", "unknown keys are ignored, whatever they carry", anyState, (*bench).cborUnknown},
	{"cbor/indefinite", "1, SMP header", "maps and arrays of indefinite length are accepted", anyState, (*bench).cborIndefinite},
	{"cbor/nesting", "1, SMP header", "containers in containers do no harm, however deep", anyState, (*bench).cborNesting},
	{"cbor/duplicate", "1, SMP header", "duplicate keys are refused", anyState, (*bench).cborDuplicate},
	{"cbor/trailing", "1, SMP header", "bytes after the map are refused", anyState, (*bench).cborTrailing},
	{"cbor/malformed", "1, SMP header", "what is not one whole map with text keys is refused", anyState, (*bench).cborMalformed},

	{"info/fields", "2, info", "info has every key of the table, of its type and in its range, and they agree with its state", anyState, (*bench).infoFields},
	{"info/algorithms", "2, Algorithms", "algs has ES256; algs and verify name algorithms of the protocol", anyState, (*bench).infoAlgorithms},
	{"info/model", "2, info", "model is the one expected", anyState, (*bench).infoModel},
	{"info/boot", "2, info", "boot is random, and stays the same until a reset", anyState, (*bench).infoBoot},
	{"os/echo", "1, Standard groups", "OS echo answers what was sent", anyState, (*bench).osEcho},
	{"os/parameters", "1, Sizes", "the buffer holds info with all fields, 512 bytes, and every answer fits it", anyState, (*bench).osParameters},

	{"blank/info", "2, States", "a blank board shows no key and no object", enroll.Blank, (*bench).blankInfo},
	{"blank/states", "3, Errors", "what is not allowed in state 0 gets rc 2", enroll.Blank, (*bench).blankStates},
	{"blank/order", "3, Errors", "the shape of a request is checked (rc 1) before the state (rc 2)", enroll.Blank, (*bench).blankOrder},
	{"keygen/algorithm", "2, keygen", "an unknown algorithm gets rc 3, and no key is made", enroll.Blank, (*bench).keygenAlgorithm},
	{"keygen/new", "2, keygen", "keygen makes a key: new true, state 1, alg and spki in info", enroll.Blank, (*bench).keygenNew},

	{"keygen/same-token", "2, keygen", "the same token and alg get the same key, with replace too", enroll.Keyed, (*bench).keygenSame},
	{"keygen/other-token", "2, keygen", "another token gets the existing key with new false", enroll.Keyed, (*bench).keygenOther},
	{"keygen/other-alg", "2, keygen", "an existing key of another algorithm is rc 3", enroll.Keyed, (*bench).keygenOtherAlg},
	{"keygen/replace", "2, keygen", "another token with replace makes another key", enroll.Keyed, (*bench).keygenReplace},
	{"keygen/drops", "2, keygen", "a new key drops CSR and staging", enroll.Keyed, (*bench).keygenDrops},
	{"keyed/states", "3, Errors", "what is not allowed in state 1 gets rc 2", enroll.Keyed, (*bench).keyedStates},

	{"csr/bytes", "2, csr", "the request is PKCS#10 to the byte, signed by the key of keygen", enroll.Keyed, (*bench).csrBytes},
	{"csr/names", "2, csr", "CN without serialNumber, of 64 bytes, in UTF-8", enroll.Keyed, (*bench).csrNames},
	{"csr/repeat", "2, csr", "the same request again answers the same bytes", enroll.Keyed, (*bench).csrRepeat},
	{"csr/nonce", "2, csr", "another nonce makes another request", enroll.Keyed, (*bench).csrNonce},
	{"csr/shape", "2, Commands", "a cn, sn or nonce out of range is rc 1", enroll.Keyed, (*bench).csrShape},
	{"get/pieces", "2, Objects: get and put", "get answers from any offset; at len empty data", enroll.Keyed, (*bench).getPieces},
	{"get/beyond", "2, Objects: get and put", "get beyond len is rc 4 with off", enroll.Keyed, (*bench).getBeyond},

	{"put/empty", "2, Objects: get and put", "empty data is allowed, and staged nowhere wants off 0", enroll.Keyed, (*bench).putEmpty},
	{"put/resume", "2, Objects: get and put", "off 0 with the same len and sha resumes, and takes no further bytes", enroll.Keyed, (*bench).putResume},
	{"put/anew", "2, Objects: get and put", "off 0 with another len or sha starts anew", enroll.Keyed, (*bench).putAnew},
	{"put/gap", "2, Objects: get and put", "a gap is rc 4 with the offset wanted", enroll.Keyed, (*bench).putGap},
	{"put/repeat", "2, Objects: get and put", "a repeated chunk is taken when its bytes are equal, else rc 4", enroll.Keyed, (*bench).putRepeat},
	{"put/overlap", "2, Objects: get and put", "a chunk that begins before the offset and ends behind it is rc 4", enroll.Keyed, (*bench).putOverlap},
	{"put/beyond", "2, Objects: get and put", "data beyond len is rc 1", enroll.Keyed, (*bench).putBeyond},
	{"put/max", "2, info", "a len over max is rc 1", enroll.Keyed, (*bench).putMax},
	{"put/chunk", "2, Objects: get and put", "data over chunk is rc 1", enroll.Keyed, (*bench).putChunk},

	{"commit/unknown", "2, commit", "an object that is not staged is rc 2, before completeness", enroll.Keyed, (*bench).commitUnknown},
	{"commit/incomplete", "2, commit", "an incomplete object is rc 4 with obj and off, before digests", enroll.Keyed, (*bench).commitIncomplete},
	{"commit/digest", "2, commit", "a wrong digest is rc 5 with obj, before parsing, and drops all staging", enroll.Keyed, (*bench).commitDigest},
	{"commit/parse", "2, commit", "a chain that does not parse, or has bytes behind it, is rc 6", enroll.Keyed, (*bench).commitParse},
	{"commit/length", "2, Objects: get and put", "a chain of five certificates is rc 6", enroll.Keyed, (*bench).commitLength},
	{"commit/anchors", "2, commit", "anchors that do not parse are rc 6, before the leaf's key", enroll.Keyed, (*bench).commitAnchors},
	{"commit/rework", "2, commit", "a rework key that is not P-256, or three of them, is rc 6", enroll.Keyed, (*bench).commitRework},
	{"commit/key", "2, commit", "a leaf for another key is rc 7, before the links", enroll.Keyed, (*bench).commitKey},
	{"commit/signature", "2, commit", "a link whose signature does not verify is rc 6", enroll.Keyed, refuses(enroll.RCChain, brokenSignature)},
	{"commit/name", "2, commit", "a link whose issuer is not the next subject is rc 6", enroll.Keyed, refuses(enroll.RCChain, otherName)},
	{"commit/ca", "2, commit", "an issuer without CA:TRUE is rc 6", enroll.Keyed, refuses(enroll.RCChain, notCA)},
	{"commit/key-usage", "2, commit", "an issuer without keyUsage, or without keyCertSign in it, is rc 6", enroll.Keyed, (*bench).commitKeyUsage},
	{"commit/path-length", "2, commit", "a chain longer than an issuer's pathLen allows is rc 6", enroll.Keyed, refuses(enroll.RCChain, pathLength)},
	{"commit/algorithm", "2, commit", "a signature with a curve and hash that make no name of verify is rc 3", enroll.Keyed, refuses(enroll.RCAlgorithm, otherHash)},
	{"commit/root", "2, commit", "a chain that does not end at the pinned root is rc 8", enroll.Keyed, (*bench).commitRoot},
	{"commit/root-path", "2, commit", "a chain longer than the pinned root's pathLen allows is rc 8", enroll.Keyed, (*bench).commitRootPath},
	{"commit/accept", "2, commit", "chain, anchors and rework are stored: state 2, digests in info", enroll.Keyed, (*bench).commitAccept},

	{"commit/read-back", "2, Objects: get and put", "get reads each object back as it was put", enroll.Installed, (*bench).readBack},
	{"commit/again", "2, commit", "with the digests already stored commit answers state 2", enroll.Installed, (*bench).commitAgain},
	{"commit/refused", "2, commit", "a refused commit leaves what is stored", enroll.Installed, (*bench).commitRefused},
	{"commit/keeps", "2, commit", "objects not named keep their content", enroll.Installed, (*bench).commitKeeps},
	{"installed/states", "3, Errors", "what is not allowed in state 2 gets rc 2", enroll.Installed, (*bench).installedStates},
	{"keygen/installed", "2, keygen", "the same token with replace changes nothing in state 2", enroll.Installed, (*bench).keygenInstalled},
	{"prove/signature", "2, prove", "the proof verifies over nonce, digests, prot, state and uid", enroll.Installed, (*bench).proveSignature},
	{"tls/accepts", "2, tls-sign", "the content of a client CertificateVerify is signed, with 32 and 48 bytes of transcript", enroll.Installed, (*bench).tlsAccepts},
	{"tls/refuses", "2, tls-sign", "anything else is rc 1", enroll.Installed, (*bench).tlsRefuses},
	{"tls/handshake", "2, tls-sign", "a TLS 1.3 handshake with the board's key succeeds", enroll.Installed, (*bench).tlsHandshake},
	{"lock/digest", "2, lock", "lock with another digest is rc 5, and the board stays in 2", enroll.Installed, (*bench).lockDigest},
	{"keygen/drops-objects", "2, keygen", "replace in state 2 drops all objects and returns to 1", enroll.Installed, (*bench).keygenDropsObjects},

	{"reset/boot", "1, Reset", "OS reset is answered, then boot changes; uid, key and token are kept", enroll.Keyed, (*bench).resetBoot},
	{"reset/ram", "2, csr", "CSR and staging live in RAM: a reset loses them", enroll.Keyed, (*bench).resetRAM},
	{"reset/objects", "2, States", "a reset keeps state and objects, and they are proven", enroll.Installed, (*bench).resetObjects},

	{"lock/state", "2, lock", "lock with the chain's digest makes state 3, and again", enroll.Installed, (*bench).lockState},
	{"locked/refuses", "2, lock", "keygen, csr, put, commit and tls-sign are rc 11", enroll.Locked, (*bench).lockedRefuses},
	{"locked/order", "3, Errors", "the shape of a request is checked (rc 1) before the lock (rc 11)", enroll.Locked, (*bench).lockedOrder},
	{"locked/reads", "2, Commands", "get and prove are answered in state 3", enroll.Locked, (*bench).lockedReads},
	{"locked/groups", "2, info", "without verified boot every group but 64 and OS is plain rc 8", enroll.Locked, (*bench).lockedGroups},
	{"locked/reset", "2, prove", "a reset keeps the lock, and the receipt verifies", enroll.Locked, (*bench).lockedReset},
	{"challenge/nonce", "2, challenge and rework", "challenge gives one nonce until a reset, then another", enroll.Locked, (*bench).challengeNonce},
	{"rework/no-nonce", "2, challenge and rework", "rework without a nonce asked for since the reset is rc 12", enroll.Locked, (*bench).reworkNoNonce},
	{"rework/refuses", "2, challenge and rework", "another key, message or key number is rc 12", enroll.Locked, (*bench).reworkRefuses},
	{"rework/unlocks", "2, challenge and rework", "the right signature erases key and objects: state 0", enroll.Locked, (*bench).reworkUnlocks},
	{"rework/repeat", "2, challenge and rework", "the same signature again in state 0 answers state 0, another rc 2", enroll.Blank, (*bench).reworkRepeat},
	{"rework/token", "2, challenge and rework", "the token is erased with the key", enroll.Blank, (*bench).reworkToken},

	{"algorithms/others", "2, Algorithms", "keys of every other algorithm in algs work: request, proof, tls-sign", enroll.Keyed, (*bench).otherAlgorithms},
	{"end/blank", "2, challenge and rework", "the board is blank again", anyState, (*bench).endBlank},
}
