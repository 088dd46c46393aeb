// SPDX-License-Identifier: Apache-2.0
// Result codes of group 64 (protocol, section 3). Functions of the core and of
// the crypto backend return them as they go out to the station.
#ifndef ENR_RC_H
#define ENR_RC_H

enum enr_rc {
	ENR_OK = 0,
	ENR_MALFORMED = 1,
	ENR_WRONG_STATE = 2,
	ENR_ALGORITHM = 3,
	ENR_OFFSET = 4,
	ENR_DIGEST = 5,
	ENR_CHAIN = 6,
	ENR_KEY_MISMATCH = 7,
	ENR_UNTRUSTED = 8,
	ENR_STORAGE = 9,
	ENR_ENTROPY = 10,
	ENR_LOCKED = 11,
	ENR_NOT_AUTHORISED = 12,
};

#endif
