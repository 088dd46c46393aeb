# SPDX-License-Identifier: Apache-2.0
# Fuzz targets of the agent: clang's libFuzzer with AddressSanitizer and
# UndefinedBehaviorSanitizer. Part of ../Makefile.
#   make fuzz               every target, its fixed number of executions
#   make fuzz-NAME RUNS=N   one of them; -1: until it finds something
# Every run has the same seed, the same corpus and, where the system allows it, the
# same addresses, which libFuzzer mixes into its inputs. What makes a target fail is left
# in $(OUT)/fuzz/NAME-crash-...

# Executions of each target. docs/fuzzing.md has the same numbers.
FUZZ_RUNS := agent:8000 frame:60000 cbor:2000000 commit:20000 transfer:20000 store:2500 image:10000

FUZZ_TARGETS := $(foreach t,$(FUZZ_RUNS),$(firstword $(subst :, ,$(t))))
FUZZ_CC := clang
FUZZ_FLAGS := $(OPTIMISE) $(SANITIZE)
FUZZ_KEY := $(shell { $(FUZZ_CC) --version 2>&1; echo $(FUZZ_FLAGS) $(MB_FILES); cat crypto/mbedtls_options.h; } | cksum | cut -d' ' -f1)
FUZZ_LIB := $(CACHE)/fuzz-$(FUZZ_KEY)/libmbedtls.a
FUZZ_OBJECTS := $(patsubst %.c,$(OUT)/fuzz/%.o,$(CORE) $(BACKEND_SOURCES) test/board.c test/ask.c test/vector.c fuzz/fuzz.c)

FUZZ_STILL := $(shell setarch -R true 2>/dev/null && echo setarch -R)

runs = $(or $(RUNS),$(word 2,$(subst :, ,$(filter $(1):%,$(FUZZ_RUNS)))))

.PHONY: fuzz $(FUZZ_TARGETS:%=fuzz-%)

# A make of its own runs two at a time whatever this one was told.
fuzz:
	@$(MAKE) --no-print-directory -j$$(nproc) $(FUZZ_TARGETS:%=fuzz-%)

# New inputs go to the first directory; the tree's corpus is only read.
$(FUZZ_TARGETS:%=fuzz-%): fuzz-%: $(OUT)/fuzz/%
	@rm -rf $(OUT)/fuzz/found/$*
	@mkdir -p $(OUT)/fuzz/found/$*
	@echo "fuzz $*: $(call runs,$*) executions"
	@FUZZ_VECTORS=../testdata/vectors $(FUZZ_STILL) ./$(OUT)/fuzz/$* -runs=$(call runs,$*) -seed=1 -reload=0 -max_len=4096 \
		-timeout=20 -artifact_prefix=$(OUT)/fuzz/$*- $(OUT)/fuzz/found/$* fuzz/corpus/$* \
		>$(OUT)/fuzz/$*.log 2>&1 || { tail -n 60 $(OUT)/fuzz/$*.log; exit 1; }

$(FUZZ_TARGETS:%=$(OUT)/fuzz/%): $(OUT)/fuzz/%: $(OUT)/fuzz/fuzz/%.o $(FUZZ_OBJECTS) $(FUZZ_LIB)
	@echo "LD $@"
	@$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^

# mbedtls is instrumented too: it is what reads an attacker's certificates.
$(FUZZ_LIB): $(MBEDTLS)/library/x509_crt.c
	@$(MAKE) --no-print-directory -j$$(nproc) -f mbedtls.mk CC=$(FUZZ_CC) LIB=$@ SRC=$(MBEDTLS)/library \
		FILES="$(MB_FILES)" CFLAGS="-std=c11 -w $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(BACKEND_FLAGS) -Icrypto -I$(MBEDTLS)/include"

$(OUT)/fuzz/%.o: %.c | $(MBEDTLS)/library/x509_crt.c
	@mkdir -p $(@D)
	@echo "CC $<"
	@$(FUZZ_CC) $(wordlist 2,99,$(COMPILE)) -Wno-sign-conversion $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -o $@ $<
