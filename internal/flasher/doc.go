// SPDX-License-Identifier: Apache-2.0

// Package flasher puts firmware images on boards. An [Image] is a file that was
// checked from its first byte to its last; a [Manifest] says for which boards it
// is, and may be signed by whoever releases firmware. [Write] is the driver for
// boards that take images over SMP, group 1 (MCUmgr of Zephyr and Mynewt, with
// MCUboot behind it): upload into the free slot, start on trial, confirm.
//
// Nothing is erased or written before image, manifest, signature and board were
// compared; until the new image is confirmed the boot loader goes back to the
// old one at the next restart.
package flasher
