// SPDX-License-Identifier: Apache-2.0

package record

// ScanBody is the short way to read a body.
var ScanBody = scanBody
