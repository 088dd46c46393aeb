// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package label

const openFlags = 0
