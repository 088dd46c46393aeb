// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// MaxTries wrong PINs in a row lock a person.
const MaxTries = 5

// The cost of a PIN's hash: the second recommendation of RFC 9106, section 4,
// 64 MiB.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	saltSize     = 16
	hashSize     = 32
)

// CheckPIN says whether a PIN may be one: 6 to 64 digits, not all the same, not
// a straight run.
func CheckPIN(pin []byte) error {
	if len(pin) < 6 || len(pin) > 64 {
		return errors.New("a PIN has 6 to 64 digits")
	}
	steps := map[int]bool{}
	for i, c := range pin {
		if c < '0' || c > '9' {
			return errors.New("a PIN has digits only")
		}
		if i > 0 {
			steps[int(c)-int(pin[i-1])] = true
		}
	}
	if len(steps) == 1 && (steps[0] || steps[1] || steps[-1]) {
		return errors.New("a PIN is not one digit again and again, nor a straight run")
	}
	return nil
}

// hashPIN makes the stored form, a PHC string.
func hashPIN(pin []byte) (string, error) {
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return "", errors.New("the system's random source failed")
	}
	return phcText(salt, derive(pin, salt)), nil
}

func derive(pin, salt []byte) []byte {
	return argon2.IDKey(pin, salt, argonTime, argonMemory, argonThreads, hashSize)
}

func phcText(salt, hash []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(hash))
}

// parsePHC takes a stored form apart. Only the cost that this package writes is
// read: a file must not choose how much memory a try takes.
func parsePHC(text string) (salt, hash []byte, err error) {
	b64 := base64.RawStdEncoding.Strict()
	parts := strings.Split(text, "$")
	if len(parts) != 6 {
		return nil, nil, errors.New("not a hash of a PIN")
	}
	salt, err = b64.DecodeString(parts[4])
	if err == nil {
		hash, err = b64.DecodeString(parts[5])
	}
	if err != nil || len(salt) != saltSize || len(hash) != hashSize || phcText(salt, hash) != text {
		return nil, nil, errors.New("not a hash of a PIN as this program makes it")
	}
	return salt, hash, nil
}

// samePIN compares in constant time.
func samePIN(stored string, pin []byte) (bool, error) {
	salt, hash, err := parsePHC(stored)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(derive(pin, salt), hash) == 1, nil
}
