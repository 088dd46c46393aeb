// SPDX-License-Identifier: Apache-2.0

package issuer

import "fmt"

// Reason is the short, stable name of why a request or a board was refused.
// The procedure turns each into a fault code; a name is never given another meaning.
type Reason string

// Reasons a request is refused for, in the order in which [ParseRequest] looks for them.
const (
	ReasonSize             Reason = "size"              // empty, or longer than a board may send
	ReasonMalformed        Reason = "malformed"         // not the DER of RFC 2986 that the protocol prescribes
	ReasonAlgorithm        Reason = "algorithm"         // not the algorithm that was asked for, or not one of the profile
	ReasonSPKI             Reason = "spki"              // another key than the one the board named before
	ReasonWeakKey          Reason = "weak-key"          // off its curve, too short, bad exponent, ROCA
	ReasonSignature        Reason = "signature"         // no proof of possession
	ReasonIdentity         Reason = "identity"          // subject is not the one asked for
	ReasonStringType       Reason = "string-type"       // right text in the wrong ASN.1 string type
	ReasonExtraAttribute   Reason = "extra-attribute"   // something besides challengePassword is asked for
	ReasonMissingAttribute Reason = "missing-attribute" // no challengePassword
	ReasonDoubledAttribute Reason = "doubled-attribute" // challengePassword twice, or with two values
	ReasonNonce            Reason = "nonce"             // challengePassword is not our nonce: a stale or replayed request
)

// Reasons [Issuer.CheckBoard] refuses a board for, before anything is signed.
const (
	ReasonBoardVerify Reason = "board-verify" // the board cannot check a signature of our chain
	ReasonBoardMax    Reason = "board-max"    // our chain is larger than the board takes
	ReasonBoardRoot   Reason = "board-root"   // the board's firmware pins another root
)

// Refusal says why a request, or a board, was refused.
type Refusal struct {
	Reason Reason
	Detail string // for people: what was found and what was expected
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("refused (%s): %s", r.Reason, r.Detail)
}

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
