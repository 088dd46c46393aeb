// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// builtin is one row of the table of built-in profiles: its defaults, and what
// a file that builds on it cannot change.
type builtin struct {
	name, purpose    string
	minDays, maxDays int // both 0: without expiry
	algorithms       []string
	keyUsage         x509.KeyUsage
	extUsage         []x509.ExtKeyUsage
	needs            []string // fields the subject must have
	names            []nameRule
	rules            []rule // what lint demands besides the rules for all
	config           func() ProfileConfig
}

// nameRule is what a service demands of one field of the subject.
type nameRule struct {
	key, allowed string
	chars        func(r rune) bool // of the fixed text around variables too
	check        func(s string) error
}

var everyAlgorithm = []string{"ES256", "ES384", "EdDSA", "RS256"}

// cloudAlgorithms are the keys that AWS IoT and Azure DPS take: neither knows Ed25519.
var cloudAlgorithms = []string{"ES256", "ES384", "RS256"}

// A TLS 1.3 client only ever signs (RFC 8446 4.4.2.4, RFC 5280 4.2.1.12).
const clientUsage = x509.KeyUsageDigitalSignature

var clientAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

var builtins = []builtin{
	{
		name: "mtls", purpose: "client of any TLS server", minDays: 90, maxDays: 365,
		algorithms: everyAlgorithm, keyUsage: clientUsage, extUsage: clientAuth, rules: clientRules,
		config: func() ProfileConfig {
			return base("mtls", 365, everyAlgorithm, SubjectConfig{CommonName: "{serial}"})
		},
	},
	{
		name: "idevid", purpose: "identity for the device's whole life (IEEE 802.1AR)",
		algorithms: everyAlgorithm, keyUsage: x509.KeyUsageDigitalSignature,
		needs: []string{"serial_number"}, rules: idevidRules,
		config: func() ProfileConfig {
			return base("idevid", 0, everyAlgorithm, SubjectConfig{CommonName: "{serial}", SerialNumber: "{serial}"})
		},
	},
	{
		name: "aws", purpose: "AWS IoT Core: JITP, JITR and bulk registration", minDays: 1, maxDays: 3650,
		algorithms: cloudAlgorithms, keyUsage: clientUsage, extUsage: clientAuth,
		needs: []string{"serial_number"}, names: []nameRule{thingName}, rules: slices.Concat(clientRules, awsRules),
		config: func() ProfileConfig {
			return base("aws", 365, cloudAlgorithms, SubjectConfig{CommonName: "{serial}", SerialNumber: "{serial}"})
		},
	},
	{
		name: "azure", purpose: "Azure IoT Hub with the Device Provisioning Service", minDays: 1, maxDays: 3650,
		algorithms: cloudAlgorithms, keyUsage: clientUsage, extUsage: clientAuth,
		names: []nameRule{registrationID}, rules: slices.Concat(clientRules, azureRules),
		config: func() ProfileConfig {
			return base("azure", 365, cloudAlgorithms, SubjectConfig{CommonName: "{serial|lower}"})
		},
	},
	{
		name: "short", purpose: "client of any TLS server, renewed often", minDays: 1, maxDays: 90,
		algorithms: everyAlgorithm, keyUsage: clientUsage, extUsage: clientAuth, rules: clientRules,
		config: func() ProfileConfig {
			return base("short", 90, everyAlgorithm, SubjectConfig{CommonName: "{serial}"})
		},
	},
}

func base(name string, days int, algorithms []string, subject SubjectConfig) ProfileConfig {
	return ProfileConfig{
		Base: name, Days: days, Backdate: "1h",
		Algorithms: slices.Clone(algorithms), Subject: subject,
	}
}

// thingName is what AWS IoT allows as the name of a thing, which JITP templates
// take from the common name.
var thingName = nameRule{
	key: "common_name", allowed: "a thing name of AWS IoT: 1 to 64 characters a-z, A-Z, 0-9, : _ -",
	chars: isThingChar,
	check: func(s string) error {
		if strings.ContainsFunc(s, func(r rune) bool { return !isThingChar(r) }) {
			return fmt.Errorf("%q is no thing name of AWS IoT; allowed: a-z, A-Z, 0-9, : _ -", clip(s))
		}
		return nil
	},
}

func isThingChar(r rune) bool { return isLetterOrDigit(r) || strings.ContainsRune(":_-", r) }

// registrationID is what Azure's Device Provisioning Service allows as a
// registration ID, which it takes from the common name. It compares without
// regard to case, so capitals are refused: two units would be one.
var registrationID = nameRule{
	key: "common_name", allowed: "a registration ID of Azure DPS: 1 to 64 characters a-z, 0-9, - . _ :, the last a letter or digit; {serial|lower} makes small letters",
	chars: isRegistrationChar,
	check: checkRegistrationID,
}

func isRegistrationChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:", r)
}

func checkRegistrationID(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return !isRegistrationChar(r) }) {
		return fmt.Errorf("%q is no registration ID of Azure DPS; allowed: a-z, 0-9 and - . : _", clip(s))
	}
	if last := s[len(s)-1]; strings.IndexByte("-._:", last) >= 0 {
		return fmt.Errorf("%q is no registration ID of Azure DPS; allowed: a letter or digit at the end", clip(s))
	}
	return nil
}

func builtinNamed(name string) *builtin {
	for i := range builtins {
		if builtins[i].name == name {
			return &builtins[i]
		}
	}
	return nil
}

// BuiltinNames lists the built-in profiles.
func BuiltinNames() []string {
	names := make([]string, len(builtins))
	for i, b := range builtins {
		names[i] = b.name
	}
	return names
}

func builtinNames() string { return strings.Join(BuiltinNames(), ", ") }

// ErrNoBuiltin means that there is no built-in profile of a name.
var ErrNoBuiltin = errors.New("no built-in profile")

func noBuiltin(name string) error {
	return fmt.Errorf("profile %q: %w; allowed: %s", clip(name), ErrNoBuiltin, builtinNames())
}

// BuiltinProfile returns a built-in profile with its defaults.
func BuiltinProfile(name string) (*Profile, error) {
	b := builtinNamed(name)
	if b == nil {
		return nil, noBuiltin(name)
	}
	return NewProfile(name, b.config())
}

// DefaultConfig returns the settings of a built-in profile, to be changed and
// given to [NewProfile].
func DefaultConfig(name string) (ProfileConfig, error) {
	b := builtinNamed(name)
	if b == nil {
		return ProfileConfig{}, noBuiltin(name)
	}
	return b.config(), nil
}
