# SPDX-License-Identifier: Apache-2.0
# Builds LIB from those FILES that SRC, mbedtls's library directory, has.
DIR := $(dir $(LIB))
OBJECTS := $(patsubst %,$(DIR)%.o,$(foreach f,$(FILES),$(if $(wildcard $(SRC)/$(f).c),$(f))))

$(LIB): $(OBJECTS)
	@echo "AR $@"
	@rm -f $@
	@$(AR) rcs $@ $^

$(DIR)%.o: $(SRC)/%.c
	@mkdir -p $(DIR)
	@echo "CC $(notdir $<)"
	@$(CC) $(CFLAGS) -DMBEDTLS_CONFIG_FILE='"mbedtls_options.h"' -c -o $@ $<
