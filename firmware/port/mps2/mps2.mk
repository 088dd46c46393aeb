# SPDX-License-Identifier: Apache-2.0
# The agent for QEMU's mps2-an385, and the template for a port of yours.
#   make mps2                   build/agent-mps2.elf, and build/agent-mps2.bin: the same
#                               program for an image, linked for where images run
#   make mps2 ROOT=root.der MPS2_ELF=pinned.elf   with a pinned root
#   make mps2 MEASURE=1         build/agent-mps2-measure.elf tells QEMU its heap and stack
#   make sizes                  what core and agent take on a Cortex-M3, over either backend
# The backend is the lean one; make mps2 CRYPTO=psa takes the other, into build/psa.

ARM := arm-none-eabi-
MPS2_ELF := $(OUT)/agent-mps2$(if $(MEASURE),-measure).elf
MPS2_OBJ := $(OUT)/mps2$(if $(MEASURE),-measure)
MPS2_BACKEND := $(or $(CRYPTO),lean)
MPS2_CPU := -mcpu=cortex-m3 -mthumb
# Objects hold code besides what the linker optimises, for make sizes.
MPS2_FLAGS := $(MPS2_CPU) -Os -g -ffunction-sections -fdata-sections -flto=1 -flto-partition=one -ffat-lto-objects
MPS2_KEY = $(shell { $(ARM)gcc --version; echo $(MPS2_FLAGS) $(MB_FILES_$(MPS2_BACKEND)); cat port/mps2/mbedtls_options.h port/mps2/heap.h crypto/mbedtls_options.h; } \
	2>/dev/null | cksum | cut -d' ' -f1)
MPS2_LIB := $(CACHE)/mps2-$(MPS2_KEY)/libmbedtls.a
MPS2_SOURCES := $(CORE) $(SOURCES_$(MPS2_BACKEND)) $(wildcard port/mps2/*.c) port/template/main.c
MPS2_OBJECTS := $(MPS2_SOURCES:%.c=$(MPS2_OBJ)/%.o)
MPS2_ROOT := $(MPS2_ELF:.elf=-root.o)
TEMPLATE := $(wildcard port/template/*.c)

MPS2_IMAGE := $(MPS2_ELF:.elf=.bin)
# As SLOTS_CODE in port/mps2/slots.h.
MPS2_CODE := 0x20000

.PHONY: mps2 sizes template arm-compiler

mps2: $(MPS2_ELF) $(MPS2_IMAGE) $(MPS2_OBJ)/port/template/board.o

sizes: $(MPS2_ELF)
	$(ARM)size -t $(filter $(MPS2_OBJ)/core/%,$(MPS2_OBJECTS))
	$(ARM)size $(MPS2_ELF)
	$(if $(CRYPTO),,@$(MAKE) --no-print-directory CRYPTO=psa sizes-all)

.PHONY: sizes-all
sizes-all: $(MPS2_ELF)
	$(ARM)size $(MPS2_ELF)

arm-compiler:
	@command -v $(ARM)gcc >/dev/null || \
		{ echo "$(ARM)gcc is missing: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi" >&2; exit 1; }

$(MPS2_LIB): $(MBEDTLS)/library/x509_crt.c | arm-compiler
	@$(MAKE) --no-print-directory -j$$(nproc) -f mbedtls.mk LIB=$@ SRC=$(MBEDTLS)/library \
		FILES="$(MB_FILES_$(MPS2_BACKEND))" CC=$(ARM)gcc AR=$(ARM)gcc-ar \
		CFLAGS="-std=c11 -w $(MPS2_FLAGS) $(FLAGS_$(MPS2_BACKEND)) -Iport/mps2 -Icrypto -I$(MBEDTLS)/include"

$(MPS2_OBJ)/%.o: %.c Makefile port/mps2/mps2.mk | $(MBEDTLS)/library/x509_crt.c arm-compiler
	@mkdir -p $(@D)
	@echo "CC $< (Cortex-M3)"
	@$(ARM)gcc -std=c11 $(WARN) -Iport/mps2 $(IMAGES) $(FLAGS_$(MPS2_BACKEND)) $(INCLUDE) -MMD -MP -c $(MPS2_FLAGS) $(if $(MEASURE),-DMEASURE) -o $@ $<

# Another ROOT is another file: this object is made each time.
.PHONY: $(if $(ROOT),$(MPS2_ROOT))
$(MPS2_ROOT): port/mps2/root.S $(ROOT) | arm-compiler
	@mkdir -p $(@D)
	@$(ARM)gcc $(MPS2_CPU) $(if $(ROOT),-DROOT_DER='"$(ROOT)"') -c -o $@ $<

$(MPS2_ELF) $(MPS2_IMAGE:.bin=-image.elf): $(MPS2_OBJECTS) $(MPS2_ROOT) $(MPS2_LIB) port/mps2/mps2.ld
	@echo "LD $@"
	@$(ARM)gcc $(MPS2_FLAGS) --specs=nano.specs -nostartfiles -T port/mps2/mps2.ld -Wl,--gc-sections,--fatal-warnings \
		-Wl,--defsym=code_base=$(if $(filter %-image.elf,$@),$(MPS2_CODE),0) -o $@ $(filter %.o %.a,$^)

$(MPS2_IMAGE): %.bin: %-image.elf
	@$(ARM)objcopy -O binary $< $@

# The skeleton compiles for this machine as well.
template: $(TEMPLATE:%.c=$(OUT)/plain/%.o)
