// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !nosim

package tpm

/*
#include <stdbool.h>
#include <stddef.h>

// The simulator's non-volatile memory and power switch. They are no part of
// go-tpm-tools' interface, so they are weak: if an upgrade drops them, the
// program still links and says so.
extern unsigned char s_NV[] __attribute__((weak));
extern void _plat__Reset(bool forceManufacture) __attribute__((weak));

static unsigned char *nv_memory(void) { return s_NV; }
static bool nv_linked(void) { return s_NV != NULL && _plat__Reset != NULL; }
static void nv_reset(void) { _plat__Reset(false); }
*/
import "C"

import (
	"bytes"
	"errors"
	"unsafe"
)

// nvLinked tells whether the simulator's memory can be reached.
func nvLinked() error {
	if !C.nv_linked() {
		return errors.New("the simulator in this build does not give access to its state: use sim or swtpm:DIR")
	}
	return nil
}

// nvMemory is the memory itself. The simulator must stand still.
func nvMemory() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(C.nv_memory())), nvSize)
}

// readNV copies the memory out.
func readNV() []byte { return bytes.Clone(nvMemory()) }

// writeNV powers the simulator up on another memory. The first reset ends what
// runs, the second reads the memory; TPM2_Startup has to follow.
// simulator.Reset would not do: it sends TPM2_Shutdown, which writes the state
// of the old TPM over the new memory.
func writeNV(image []byte) error {
	if len(image) != nvSize {
		return errors.New("wrong size of the simulator's memory")
	}
	C.nv_reset()
	copy(nvMemory(), image)
	C.nv_reset()
	return nil
}
