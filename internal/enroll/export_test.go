// SPDX-License-Identifier: Apache-2.0

package enroll

// What the tests of package enroll_test see of the inside.
var (
	RehearseWith = rehearse
	ParseInfo    = parseInfo
)
