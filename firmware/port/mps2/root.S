// SPDX-License-Identifier: Apache-2.0
// The pinned root certificate: make mps2 ROOT=root.der
	.syntax unified
	.section .rodata.root, "a"
	.global root_der, root_size
	.balign 4
root_size:
	.word root_end - root_der
root_der:
#ifdef ROOT_DER
	.incbin ROOT_DER
#endif
root_end:
