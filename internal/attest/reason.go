// SPDX-License-Identifier: Apache-2.0

package attest

// What evidence is refused for.
const (
	// ErrPublic: the public area does not parse, or is not one we can use.
	ErrPublic Reason = "the public area of the key is malformed"
	// ErrStatement, ErrSignatureForm: the bytes are not what they must be.
	ErrStatement     Reason = "the TPM's statement is malformed"
	ErrSignatureForm Reason = "the signature under the TPM's statement is malformed"
	// ErrMagic: something signed with the key that no TPM said.
	ErrMagic Reason = "the statement was not made by a TPM: its magic number is missing"
	// ErrKind: a statement about something else.
	ErrKind Reason = "the TPM's statement is about something else"
	// ErrSignature: another attestation key signed it, or it was altered.
	ErrSignature Reason = "the signature under the TPM's statement is not the attestation key's"
	// ErrQualifying: a statement made for another challenge or request.
	ErrQualifying Reason = "the TPM's statement was made for another challenge or another request"
	// ErrOtherKey, ErrOtherCounter: the statement is about another one.
	ErrOtherKey     Reason = "the TPM's statement is about another key"
	ErrOtherCounter Reason = "the TPM's statement is about another counter"
	// ErrNoCounter: an index that may go back, or that others may write.
	ErrNoCounter Reason = "the index that seals the ledger is not a counter as stations make it"

	// ErrSoftware: the key may exist outside of the TPM.
	ErrSoftware Reason = "the key may exist outside of the TPM"
	// ErrRestricted: an attestation key that signs what it is given.
	ErrRestricted Reason = "the attestation key is not restricted: it signs whatever it is given"
	// ErrAttributes: other attributes than the purpose demands.
	ErrAttributes Reason = "the key has other attributes than it must"
	// ErrTemplate: another algorithm, curve, scheme or policy.
	ErrTemplate Reason = "the key was not made from the expected template"
	// ErrPurpose: nobody knows that purpose.
	ErrPurpose Reason = "no such purpose of a key"

	// ErrNoCertificate: the TPM holds no certificate of its vendor.
	ErrNoCertificate Reason = "there is no certificate for the endorsement key"
	// ErrCertificate: an EK certificate set that does not parse.
	ErrCertificate Reason = "the endorsement key's certificate is malformed"
	// ErrOtherEK: the certificate is that of another endorsement key.
	ErrOtherEK Reason = "the certificate belongs to another endorsement key"
	// ErrVendor: no chain to a root that was given.
	ErrVendor Reason = "the endorsement key's certificate does not lead to a given vendor root"
	// ErrUsage: a certificate of the vendor for something else.
	ErrUsage Reason = "the vendor did not issue the certificate for an endorsement key"
	// ErrPin: neither vendor nor pin.
	ErrPin Reason = "the endorsement key is not the pinned one"
	// ErrKeyFile: an exported key file that is not one of ours.
	ErrKeyFile Reason = "the key file is malformed"

	// ErrNoTrust: nothing was given to trust in.
	ErrNoTrust Reason = "neither a vendor root nor a pinned endorsement key was given"
)
