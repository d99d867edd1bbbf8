/* What Python tells a C benchmark of a venue: lines of key, tab, value. What is missing ends the program. */
#ifndef CONFIG_H
#define CONFIG_H

#include "hft/order.h"

void config_read(const char *path);
const char *config_get(const char *key);
/* Builds and seals the template with the texts <name>.message and <name>.signed, and the key `secret` if it signs. */
void config_template(hft_order_template *t, const char *name);

#endif
